//! [`Config`]: all sections together. A new section is a new file, one field and one line here.

use std::net::SocketAddr;

use widecast_protocol::ChannelName;

use super::byte_count::ByteCount;
use super::error::ConfigError;
use super::heartbeat::HeartbeatSettings;
use super::history::HistorySettings;
use super::limits::LimitSettings;
use super::log::LogSettings;
use super::namespace::{NamespaceRules, NamespaceSettings, Switch};
use super::outbox::OutboxSettings;
use super::poll::PollSettings;
use super::presence::PresenceSettings;
use super::section::Section;
use super::server::ServerSettings;
use super::shutdown::ShutdownSettings;
use super::timeouts::TimeoutSettings;

/// The namespace of the demos' channels.
const DEMOS: &str = "demos";

/// Every setting of the broker; `Config::default()` is what it does without any configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Where the broker listens and whom it lets in.
    pub server: ServerSettings,
    /// How much one client may ask for at once.
    pub limits: LimitSettings,
    /// How long the broker waits for clients that send or take nothing.
    pub timeouts: TimeoutSettings,
    /// How a dead connection is noticed.
    pub heartbeat: HeartbeatSettings,
    /// Long-polling.
    pub poll: PollSettings,
    /// What waits in memory for one subscriber.
    pub outbox: OutboxSettings,
    /// Past messages, over all channels.
    pub history: HistorySettings,
    /// Who is in a channel.
    pub presence: PresenceSettings,
    /// How the broker takes leave of its clients.
    pub shutdown: ShutdownSettings,
    /// What is logged.
    pub log: LogSettings,
    /// The rules of channels.
    pub namespaces: NamespaceSettings,
}

impl Config {
    /// The rules of a channel.
    pub fn namespace(&self, channel: &ChannelName) -> &NamespaceRules {
        self.namespaces.of(channel)
    }

    /// The same with what the demos need, where they are served: their own namespace, unless there is one.
    #[must_use]
    pub fn with_demos(mut self) -> Self {
        if self.server.serves_demos() && !self.namespaces.named.contains_key(DEMOS) {
            let rules = self.namespaces.entry(DEMOS);
            rules.jsonp = Switch::On;
            // Whoever joins a drawing is to see some minutes of it, at a message per animation frame.
            rules.history_messages = 4096;
            // Twice the largest file: whoever receives it too slowly resumes.
            rules.history_bytes = ByteCount::mebibytes(32);
        }
        self
    }

    /// The sections that are there once, by name, in the order they are listed.
    pub(super) fn sections(&mut self) -> [(&'static str, &mut dyn Section); 10] {
        [
            ("server", &mut self.server),
            ("limits", &mut self.limits),
            ("timeouts", &mut self.timeouts),
            ("heartbeat", &mut self.heartbeat),
            ("poll", &mut self.poll),
            ("outbox", &mut self.outbox),
            ("history", &mut self.history),
            ("presence", &mut self.presence),
            ("shutdown", &mut self.shutdown),
            ("log", &mut self.log),
        ]
    }

    /// Checks what no key can check alone: gives an error for each thing that would make the broker open to everybody
    /// without having been told so, and for settings that contradict each other.
    pub fn validate(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if self.server.listen.is_empty() {
            errors.push(ConfigError::NoAddress);
        }
        if let Some(address) = self.unprotected_address() {
            errors.push(ConfigError::PublicWithoutAuthentication { address });
        }
        if self.poll.timeout > self.poll.max_timeout {
            errors.push(ConfigError::Contradiction {
                key: "poll.timeout_ms",
                relation: "at most",
                other: "poll.max_timeout_ms",
            });
        }
        if self.limits.request_bytes > self.limits.unfinished_bytes {
            errors.push(ConfigError::Contradiction {
                key: "limits.request_bytes",
                relation: "at most",
                other: "limits.unfinished_bytes",
            });
        }
        if self.limits.message_bytes > self.limits.request_bytes {
            errors.push(ConfigError::Contradiction {
                key: "limits.message_bytes",
                relation: "at most",
                other: "limits.request_bytes",
            });
        }
        errors
    }

    /// What the settings allow and an operator may not want: parts of the broker that have no room for the largest message that
    /// another part accepts.
    pub fn warnings(&self) -> Vec<String> {
        let largest = self.limits.message_bytes;
        let total = self.history.total_bytes;
        let mut warnings = Vec::new();
        let mut warn = |key: &str, loss: &str| {
            warnings.push(format!("{key} is less than limits.message_bytes: {loss}"));
        };
        let gap = "a subscriber that is away when a larger message comes is told of a gap";
        if total.get() > 0 && total < largest {
            warn("history.total_bytes", gap);
        }
        let mut history_has_room = total >= largest;
        for (name, rules) in self.namespaces.all() {
            let has_room = rules.keeps_history() && rules.history_bytes >= largest;
            history_has_room &= has_room;
            if rules.keeps_history() && !has_room {
                warn(&format!("namespace.{name}.history_bytes"), gap);
            }
        }
        // What does not fit the outbox is read from the history.
        if !history_has_room && self.outbox.bytes < largest {
            let loss = "without room in the history either, a larger message is lost to a subscriber that is behind";
            warn("outbox.bytes", loss);
        }
        warnings
    }

    fn unprotected_address(&self) -> Option<SocketAddr> {
        if self.server.allow_public_without_authentication {
            return None;
        }
        self.server.public_address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Demos;

    #[test]
    fn the_part_before_the_first_colon_picks_the_namespace() {
        let mut config = Config::default();
        config.namespaces.entry("chat").history_messages = 7;
        config.namespaces.default.history_messages = 3;
        let messages = |name: &str| {
            let name = ChannelName::parse(name).unwrap();
            config.namespace(&name).history_messages
        };
        assert_eq!(messages("chat:room"), 7);
        assert_eq!(messages("chat:room:1"), 7);
        assert_eq!(messages("chat"), 3);
        assert_eq!(messages("news:today"), 3);
        assert_eq!(messages("default:x"), 3);
    }

    #[test]
    fn the_demos_have_a_namespace_where_they_are_served() {
        let jsonp = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            let channel = ChannelName::parse("demos:ticker").unwrap();
            config.with_demos().namespace(&channel).jsonp.is_on()
        };
        let public =
            |config: &mut Config| config.server.listen = vec!["0.0.0.0:80".parse().unwrap()];
        assert!(jsonp(&|_| ()));
        assert!(!jsonp(&public));
        assert!(!jsonp(&|config| config.server.demos = Demos::Never));
        assert!(jsonp(&|config| {
            public(config);
            config.server.demos = Demos::Always;
        }));
        // One that is configured is left as it is.
        assert!(!jsonp(&|config| {
            config.namespaces.entry("demos");
        }));
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::default().validate().is_empty());
    }
}
