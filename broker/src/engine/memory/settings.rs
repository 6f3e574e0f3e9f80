//! What the memory engine keeps to.

use std::time::Duration;

use crate::config::IDEMPOTENCY_WINDOW;

/// Bounds and times of the memory engine, for all channels alike. What differs between namespaces comes with each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySettings {
    /// How many bytes the histories and idempotency keys of all channels may take together.
    pub history_bytes: u64,
    /// How many channels that nobody uses any more are remembered at most; the least recently used are forgotten early.
    pub idle_channels: usize,
    /// How long a channel that nobody uses any more is remembered at least, unless there are too many of them. A
    /// namespace that keeps its history longer than this has its channels remembered as long.
    pub idle_grace: Duration,
    /// How long a member may be without a connection before it leaves.
    pub presence_grace: Duration,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
    /// How many idempotency keys of one channel are remembered at most; the oldest is forgotten early.
    pub idempotency_keys: usize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            history_bytes: 256 * 1024 * 1024,
            idle_channels: 262_144,
            idle_grace: Duration::from_mins(5),
            presence_grace: Duration::from_secs(5),
            idempotency_window: IDEMPOTENCY_WINDOW,
            idempotency_keys: 65_536,
        }
    }
}
