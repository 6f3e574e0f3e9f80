//! `[heartbeat]`: how a dead connection is noticed, from both ends.

use std::time::Duration;

use super::section::settings;

settings! {
    /// How a dead connection is noticed, from both ends.
    pub struct HeartbeatSettings {
        /// How often the broker sends each session a heartbeat: a ping, a comment or an empty line. Pings come no more
        /// often than `timeout_ms` allows for the answer.
        interval: Duration, "interval_ms" = Duration::from_secs(25), within 10..=3_600_000;
        /// How long a client may leave a ping unanswered, or receive none of the bytes that wait for it, before its connection is
        /// dropped.
        timeout: Duration, "timeout_ms" = Duration::from_secs(10), within 10..=3_600_000;
    }
}
