//! `[shutdown]`: how the broker takes leave of its clients.

use std::time::Duration;

use super::namespace::Switch;
use super::section::settings;

settings! {
    /// How the broker takes leave of its clients, and when they come back.
    pub struct ShutdownSettings {
        /// How long stopping may take before the connections that are left are cut.
        deadline: Duration, "deadline_ms" = Duration::from_secs(10), within 0..=3_600_000;
        /// The time over which the clients are told to spread their return.
        reconnect_window: Duration, "reconnect_window_ms" = Duration::from_secs(5), within 0..=3_600_000;
        /// Whether raw WebSockets are closed with a close frame (1001). Without it they are cut, for pages that reconnect only
        /// after a close that was not clean.
        raw_close_frame: Switch, "raw_close_frame" = Switch::On;
        /// How long an event stream waits before it reconnects after a cut (`retry:`).
        retry: Duration, "retry_ms" = Duration::from_secs(3), within 0..=3_600_000;
    }
}
