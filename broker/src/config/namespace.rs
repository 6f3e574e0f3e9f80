//! `[namespace.NAME]`: the rules of a channel, picked by the part of its name before the first `:`.

use std::collections::BTreeMap;
use std::time::Duration;

use widecast_protocol::ChannelName;

use super::byte_count::ByteCount;
use super::engine::EngineName;
use super::rights::{Right, Rights};
use super::section::settings;
use super::value::{Bounds, Expected, Given, Setting, Word};

settings! {
    /// The rules of the channels whose name begins with `NAME:`. `[namespace.default]` holds for all other channels,
    /// and for whatever a namespace does not set itself.
    pub struct NamespaceRules {
        /// Where the channels' order, history and presence live: the name of an engine, `[engine.NAME]`.
        engine: EngineName, "engine" = EngineName::default_engine();
        /// Whether messages are only for the subscribers that are connected when they come, as typing notices and the positions of
        /// pointers are: none is kept, nobody resumes, and a client that was away is not told of a gap. `subscribed` says so.
        ephemeral: Switch, "ephemeral" = Switch::Off;
        /// How many past messages are kept per channel. A subscriber that cannot keep up with a burst reads the rest of it from
        /// here, so keep at least as many messages as one request may publish.
        history_messages: usize, "history_messages" = 16_384, within 0..=10_000_000;
        /// How many bytes of past messages are kept per channel; 0 for no history. The broker warns when
        /// `limits.message_bytes` is more, since the largest messages are then never kept. For bursts, keep at least as many bytes
        /// as one request may publish.
        history_bytes: ByteCount, "history_bytes" = ByteCount::mebibytes(16), within 0..=1_099_511_627_776;
        /// For how long past messages are kept.
        history_age: Duration, "history_age_ms" = Duration::from_mins(5), within 0..=31_536_000_000;
        /// What happens to a subscriber whose outbox is full: `disconnect` (it is sent the rest from the history at its own pace,
        /// and is disconnected only when the history no longer has the next message), `drop_oldest`, or `latest` (only the newest
        /// message is kept); the last two tell it of the gap. Where messages are ephemeral, `disconnect` is as `drop_oldest`, since
        /// there is no history to read.
        slow_consumer: SlowConsumerPolicy, "slow_consumer" = SlowConsumerPolicy::Disconnect;
        /// What a client without credentials may do, once authentication is configured: a list of `publish`,
        /// `subscribe`, `presence` and `history`, or `["*"]`. Without authentication every client may do all of it.
        anonymous: Rights, "anonymous" = Rights::NONE;
        /// What every client with a valid token may do, beside what its token allows.
        user: Rights, "user" = Rights::NONE;
        /// Whether only what a token or an API key itself allows may be done here, whatever `anonymous` and `user` say.
        private: Switch, "private" = Switch::Off;
        /// Whether clients may publish. This switch and the next three do not apply to API keys.
        publish: Switch, "publish" = Switch::On;
        /// Whether clients may subscribe.
        subscribe: Switch, "subscribe" = Switch::On;
        /// Whether clients may ask who is here, and be listed.
        presence: Switch, "presence" = Switch::On;
        /// Whether clients may ask for past messages; resuming from a cursor needs no permission.
        history: Switch, "history" = Switch::On;
        /// Whether polls and sessions of polls answer scripts (JSONP, `callback=`), which any page can load.
        jsonp: Switch, "jsonp" = Switch::Off;
        /// Whether loading `publish.gif` publishes a message; any page can load it as an image.
        image_ping: Switch, "image_ping" = Switch::Off;
    }
}

impl NamespaceRules {
    /// Whether the namespace offers something at all to others than API keys.
    pub fn offers(&self, right: Right) -> bool {
        let switch = match right {
            Right::Publish => self.publish,
            Right::Subscribe => self.subscribe,
            Right::Presence => self.presence,
            Right::History => self.history,
        };
        switch.is_on()
    }

    /// Whether past messages are kept.
    pub fn keeps_history(&self) -> bool {
        !self.ephemeral.is_on()
            && self.history_messages > 0
            && self.history_bytes.get() > 0
            && !self.history_age.is_zero()
    }

    /// What happens to a slow subscriber here.
    pub fn slow_consumer_policy(&self) -> SlowConsumerPolicy {
        match self.slow_consumer {
            // There is no history from which it could read on.
            SlowConsumerPolicy::Disconnect if self.ephemeral.is_on() => {
                SlowConsumerPolicy::DropOldest
            }
            policy => policy,
        }
    }
}

/// The rules of every configured namespace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NamespaceSettings {
    /// What holds where no namespace says otherwise.
    pub default: NamespaceRules,
    /// The other namespaces by name.
    pub named: BTreeMap<String, NamespaceRules>,
}

impl NamespaceSettings {
    /// The name of the namespace that holds for all other channels.
    pub const DEFAULT: &'static str = "default";

    /// The name of the namespace whose rules hold for a channel.
    pub fn name_of<'a>(&self, channel: &'a ChannelName) -> &'a str {
        let named = channel.namespace();
        named
            .filter(|name| self.named.contains_key(*name))
            .unwrap_or(Self::DEFAULT)
    }

    /// The rules of a channel.
    pub fn of(&self, channel: &ChannelName) -> &NamespaceRules {
        channel
            .namespace()
            .and_then(|name| self.named.get(name))
            .unwrap_or(&self.default)
    }

    /// Every namespace with its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &NamespaceRules)> {
        let named = self
            .named
            .iter()
            .map(|(name, rules)| (name.as_str(), rules));
        std::iter::once((Self::DEFAULT, &self.default)).chain(named)
    }

    /// Whether the rules of any namespace are so.
    pub fn any(&self, are_so: impl Fn(&NamespaceRules) -> bool) -> bool {
        are_so(&self.default) || self.named.values().any(are_so)
    }

    /// The rules of the namespace of this name; a new one begins as the default is now.
    pub(super) fn entry(&mut self, name: &str) -> &mut NamespaceRules {
        if name == Self::DEFAULT {
            return &mut self.default;
        }
        let default = &self.default;
        self.named
            .entry(name.to_owned())
            .or_insert_with(|| default.clone())
    }
}

/// Whether something is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// A switch is `true` or `false` in the file.
impl Setting for Switch {
    fn assign(&mut self, given: &Given, within: &Bounds) -> Result<(), Expected> {
        let mut on = self.is_on();
        on.assign(given, within)?;
        *self = if on { Self::On } else { Self::Off };
        Ok(())
    }

    fn shown(&self) -> String {
        self.is_on().to_string()
    }
}

/// What happens to a subscriber that reads slower than messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowConsumerPolicy {
    /// It reads on from the history at its own pace, and is disconnected when the history no longer reaches back.
    Disconnect,
    /// The oldest waiting messages are dropped, and it is told.
    DropOldest,
    /// Only the newest message of each channel is kept, and it is told.
    Latest,
}

impl Word for SlowConsumerPolicy {
    const EXPECTED: &'static str = "disconnect, drop_oldest or latest";

    fn read(text: &str) -> Option<Self> {
        match text {
            "disconnect" => Some(Self::Disconnect),
            "drop_oldest" => Some(Self::DropOldest),
            "latest" => Some(Self::Latest),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Disconnect => "disconnect".to_owned(),
            Self::DropOldest => "drop_oldest".to_owned(),
            Self::Latest => "latest".to_owned(),
        }
    }
}
