//! [`Config`]: all sections together. A new section is a new file, one field and one line here.

use widecast_protocol::ChannelName;

use super::auth::{ApiKeySettings, AuthSettings, JwtSettings};
use super::byte_count::ByteCount;
use super::engine::EngineSections;
use super::heartbeat::HeartbeatSettings;
use super::history::HistorySettings;
use super::hook::HookSettings;
use super::limits::LimitSettings;
use super::log::LogSettings;
use super::namespace::{NamespaceRules, NamespaceSettings, Switch};
use super::outbox::OutboxSettings;
use super::poll::PollSettings;
use super::presence::PresenceSettings;
use super::rights::Rights;
use super::section::Section;
use super::server::{Demos, ServerSettings};
use super::shutdown::ShutdownSettings;
use super::timeouts::TimeoutSettings;

/// The namespace of the demos' channels.
const DEMOS: &str = "demos";

/// Every setting of the broker; `Config::default()` is what it does without any configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Where the broker listens and whom it lets in.
    pub server: ServerSettings,
    /// How clients prove who they are.
    pub auth: AuthSettings,
    /// The keys that tokens are checked with.
    pub jwt: JwtSettings,
    /// The backend that is asked whether somebody may do something.
    pub hook: HookSettings,
    /// The keys of backends.
    pub api_keys: Vec<ApiKeySettings>,
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
    /// Where offsets, history and presence live.
    pub engines: EngineSections,
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
            // Where clients have to prove who they are, it is the operator who lets strangers in.
            if self.server.demos == Demos::Always {
                rules.anonymous = Rights::ALL;
            }
            // Whoever joins a drawing is to see some minutes of it, at a message per animation frame.
            rules.history_messages = 4096;
            // Twice the largest file: whoever receives it too slowly resumes.
            rules.history_bytes = ByteCount::mebibytes(32);
        }
        self
    }

    /// The sections that are there once, by name, in the order they are listed.
    pub(super) fn sections(&mut self) -> [(&'static str, &mut dyn Section); 13] {
        [
            ("server", &mut self.server),
            ("auth", &mut self.auth),
            ("auth.jwt", &mut self.jwt),
            ("auth.hook", &mut self.hook),
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

    /// Whether clients can prove who they are, so that they have to.
    pub fn has_authentication(&self) -> bool {
        self.jwt.is_configured() || !self.api_keys.is_empty() || self.hook.is_configured()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Right;

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
    fn strangers_have_rights_in_the_demos_only_where_the_operator_turns_them_on() {
        let rights = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            let channel = ChannelName::parse("demos:ticker").unwrap();
            config.with_demos().namespace(&channel).anonymous
        };
        assert_eq!(rights(&|_| ()), Rights::NONE);
        assert_eq!(
            rights(&|config| config.server.demos = Demos::Always),
            Rights::ALL
        );
        // They are not shut out of what is open to them everywhere.
        let open = Rights::from(Right::Subscribe);
        assert_eq!(
            rights(&|config| config.namespaces.default.anonymous = open),
            open
        );
    }
}
