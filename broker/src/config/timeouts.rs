//! `[timeouts]`: how long the broker waits for clients that send or take nothing.

use std::time::Duration;

use super::section::settings;

settings! {
    /// How long the broker waits for clients that send or take nothing. When one takes longer, the broker ends it: a request with
    /// the status 408, a WebSocket with the code 4408, anything else without a word.
    pub struct TimeoutSettings {
        /// How long the head of a request may take, from its first byte; of a new connection, from its opening.
        head: Duration, "head_ms" = Duration::from_secs(10), within 10..=3_600_000;
        /// How long a connection is kept for a next request. It has to be longer than a proxy keeps connections in its pool
        /// (nginx: 60 s), or the proxy sends requests into connections that are being closed.
        idle: Duration, "idle_ms" = Duration::from_secs(75), within 0..=3_600_000;
        /// How long the body of a request may pause. A stream of lines may pause for as long as it likes between two lines.
        body: Duration, "body_ms" = Duration::from_secs(30), within 10..=3_600_000;
        /// How long an unfinished WebSocket message may pause.
        message: Duration, "message_ms" = Duration::from_secs(30), within 10..=3_600_000;
        /// How long a client may pause in receiving the answer to its request.
        answer: Duration, "answer_ms" = Duration::from_secs(30), within 10..=3_600_000;
        /// The least average rate, in bytes a second, of a body, a WebSocket message or an answer, once it has taken as long as
        /// the longest pause; 0 for any rate.
        least_rate: u32, "least_bytes_per_second" = 1000, within 0..=1_000_000_000;
    }
}
