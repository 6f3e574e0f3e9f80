//! How much history a channel keeps.

use std::time::Duration;

/// The bounds of one channel's history; whichever is least holds. Any of them at zero: no history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// At most this many messages.
    pub messages: usize,
    /// At most this many bytes, by the engine's estimate of what a message takes.
    pub bytes: u64,
    /// No message as old as this.
    pub age: Duration,
}

impl HistoryLimits {
    /// No history.
    pub const NONE: Self = Self {
        messages: 0,
        bytes: 0,
        age: Duration::ZERO,
    };
}

impl Default for HistoryLimits {
    /// The newest 256 messages, 1 MiB and 5 minutes, for tests and for a channel that the engine has only just made. The default
    /// for users is in `config/namespace.rs`.
    fn default() -> Self {
        Self {
            messages: 256,
            bytes: 1024 * 1024,
            age: Duration::from_mins(5),
        }
    }
}
