//! `[poll]`: long-polling.

use std::time::Duration;

use super::section::settings;

settings! {
    /// Long-polling.
    pub struct PollSettings {
        /// How long a poll waits for a message when the client does not say.
        timeout: Duration, "timeout_ms" = Duration::from_secs(25), within 0..=3_600_000;
        /// How long a poll waits at the most, whatever the client says.
        max_timeout: Duration, "max_timeout_ms" = Duration::from_mins(1), within 0..=3_600_000;
        /// How long a session of polls lives without being polled.
        session_idle: Duration, "session_idle_ms" = Duration::from_mins(1), within 10..=3_600_000;
    }
}
