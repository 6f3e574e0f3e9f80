//! The broker's settings, as far as tests change them: the one place that knows their names.

use std::collections::BTreeMap;
use std::time::Duration;

/// The namespace that holds for all channels without one of their own.
pub const DEFAULT: &str = "default";

/// Settings for one broker, written as a TOML file of dotted keys.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    keys: BTreeMap<String, String>,
}

/// What a broker does with a subscriber that reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowConsumer {
    /// Ends the connection; the client resumes from its cursor.
    Disconnect,
    /// Forgets the oldest messages and tells the gap.
    DropOldest,
    /// Keeps only the newest message of each channel and tells the gap.
    Latest,
}

impl Settings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets any key to a TOML value.
    #[must_use]
    pub fn key(mut self, name: &str, value: impl Into<String>) -> Self {
        self.keys.insert(name.to_owned(), value.into());
        self
    }

    /// With more patience for clients than is the default, unless a test has said how much: on a busy machine a test may well read
    /// nothing for ten seconds.
    #[must_use]
    pub(crate) fn patient(mut self) -> Self {
        let keys = &mut self.keys;
        keys.entry("heartbeat.timeout_ms".to_owned())
            .or_insert_with(|| "60000".to_owned());
        self
    }

    fn milliseconds(self, name: &str, duration: Duration) -> Self {
        self.key(name, duration.as_millis().to_string())
    }

    /// How many worker threads serve.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        self.key("server.workers", workers.to_string())
    }

    /// How often heartbeats go out, and how long a peer may take to answer one.
    #[must_use]
    pub fn heartbeat(self, interval: Duration, answer_within: Duration) -> Self {
        self.milliseconds("heartbeat.interval_ms", interval)
            .milliseconds("heartbeat.timeout_ms", answer_within)
    }

    /// How long somebody who left may come back without it being a leave.
    #[must_use]
    pub fn presence_grace(self, grace: Duration) -> Self {
        self.milliseconds("presence.grace_ms", grace)
    }

    /// The largest message.
    #[must_use]
    pub fn message_bytes(self, limit: usize) -> Self {
        self.key("limits.message_bytes", limit.to_string())
    }

    /// How many channels one session may join.
    #[must_use]
    pub fn channels_per_session(self, limit: usize) -> Self {
        self.key("limits.channels_per_session", limit.to_string())
    }

    /// How many connections the broker takes.
    #[must_use]
    pub fn connections(self, limit: usize) -> Self {
        self.key("server.max_connections", limit.to_string())
    }

    /// The window over which reconnects are spread, and the deadline of a shutdown.
    #[must_use]
    pub fn shutdown(self, spread: Duration, deadline: Duration) -> Self {
        self.milliseconds("shutdown.reconnect_window_ms", spread)
            .milliseconds("shutdown.deadline_ms", deadline)
    }

    /// Whether raw WebSockets are told when the broker ends.
    #[must_use]
    pub fn raw_close_frame(self, is_sent: bool) -> Self {
        self.key("shutdown.raw_close_frame", is_sent.to_string())
    }

    /// Limits the history of one namespace: messages and bytes.
    #[must_use]
    pub fn history(self, namespace: &str, messages: usize, bytes: usize) -> Self {
        self.key(
            &format!("namespace.{namespace}.history_messages"),
            messages.to_string(),
        )
        .key(
            &format!("namespace.{namespace}.history_bytes"),
            bytes.to_string(),
        )
    }

    /// What happens to slow consumers of one namespace.
    #[must_use]
    pub fn slow_consumer(self, namespace: &str, policy: SlowConsumer) -> Self {
        let name = match policy {
            SlowConsumer::Disconnect => "\"disconnect\"",
            SlowConsumer::DropOldest => "\"drop_oldest\"",
            SlowConsumer::Latest => "\"latest\"",
        };
        self.key(&format!("namespace.{namespace}.slow_consumer"), name)
    }

    /// How much may wait for one subscriber in the broker, and in the kernel.
    #[must_use]
    pub fn outbox_bytes(self, broker: usize, kernel: usize) -> Self {
        self.key("outbox.bytes", broker.to_string())
            .key("outbox.send_buffer_bytes", kernel.to_string())
    }

    /// How long a session of polls lives without being polled.
    #[must_use]
    pub fn poll_session_idle(self, idle: Duration) -> Self {
        self.milliseconds("poll.session_idle_ms", idle)
    }

    /// Allows JSONP and image pings in one namespace.
    #[must_use]
    pub fn script_access(self, namespace: &str) -> Self {
        self.key(&format!("namespace.{namespace}.jsonp"), "true")
            .key(&format!("namespace.{namespace}.image_ping"), "true")
    }

    /// Keeps messages on the disk, in the broker's own directory.
    #[must_use]
    pub fn disk(self) -> Self {
        self.key("engine.default.kind", "\"disk\"")
            .key("engine.default.path", "\"{directory}/data\"")
    }

    /// The settings as a TOML file.
    pub fn to_toml(&self) -> String {
        let lines = self
            .keys
            .iter()
            .map(|(name, value)| format!("{name} = {value}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}
