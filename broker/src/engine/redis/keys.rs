//! The names of everything that the engine has on the server.
//!
//! All keys of a channel have its name in braces. A name may have braces itself: so it stands at the end, or its length before it, and
//! no two keys are the same. On a cluster the first braces count, and those are in the prefix: all keys and topics of a part are in one
//! slot.

use widecast_protocol::{ChannelName, IdempotencyKey};

/// Makes names.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
    topic_prefix: String,
    announcements_topic: String,
}

impl Keys {
    /// Topics have no database on the server, so that theirs is in their name.
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        Self {
            prefix: prefix.to_owned(),
            topic_prefix: format!("{prefix}:t{database}:"),
            announcements_topic: format!("{prefix}:t{database}!announcements"),
        }
    }

    fn of(&self, kind: &str, channel: &ChannelName) -> String {
        format!("{}:{kind}:{{{channel}}}", self.prefix)
    }

    /// The state of a channel.
    pub(super) fn state(&self, channel: &ChannelName) -> String {
        self.of("s", channel)
    }

    /// The history of a channel.
    pub(super) fn history(&self, channel: &ChannelName) -> String {
        self.of("h", channel)
    }

    /// An idempotency key of a channel.
    pub(super) fn idempotency(&self, channel: &ChannelName, key: &IdempotencyKey) -> String {
        let length = channel.as_str().len();
        format!("{}:k{length}:{{{channel}}}{key}", self.prefix)
    }

    /// The ids of the members of a channel.
    pub(super) fn ids(&self, channel: &ChannelName) -> String {
        self.of("i", channel)
    }

    /// What the scripts of `roster.lua` ask for, with the connections of this node at the end.
    pub(super) fn roster(&self, channel: &ChannelName, node: &str) -> [String; 6] {
        [
            self.state(channel),
            self.ids(channel),
            self.of("d", channel),
            self.of("n", channel),
            self.of("g", channel),
            self.of(&format!("c{node}"), channel),
        ]
    }

    /// The nodes, and until when each counts as running.
    pub(super) fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// When a node last renewed its lease.
    pub(super) fn clock(&self) -> String {
        format!("{}:clock", self.prefix)
    }

    /// The channels in which a node has members.
    pub(super) fn channels_of_node(&self, node: &str) -> String {
        format!("{}:node:{node}", self.prefix)
    }

    /// All channels that may be in use.
    pub(super) fn channels(&self) -> String {
        format!("{}:channels", self.prefix)
    }

    /// The announcements that are kept, and their ends.
    pub(super) fn announcements(&self) -> [String; 2] {
        ["kept", "ends"].map(|kind| format!("{}:{{announcements}}:{kind}", self.prefix))
    }

    /// Where announcements are heard. No channel's topic begins so.
    pub(super) fn announcements_topic(&self) -> &str {
        &self.announcements_topic
    }

    /// Which server process has this part of a cluster, and how often it has changed hands.
    pub(super) fn tenure(&self) -> String {
        format!("{}:tenure", self.prefix)
    }

    /// Which servers share the channels.
    pub(super) fn servers(&self) -> String {
        format!("{}:servers", self.prefix)
    }

    /// What is written so that replicas can be waited for.
    pub(super) fn replicas(&self) -> String {
        format!("{}:replicas", self.prefix)
    }

    /// What is tried once to see whether it is allowed.
    pub(super) fn tried(&self) -> [String; 4] {
        ["hash", "sorted", "stream", "set"].map(|kind| format!("{}:tried:{{{kind}}}", self.prefix))
    }

    /// A topic on which nobody publishes anything; its name is none of a channel.
    pub(super) fn tried_topic(&self) -> String {
        format!("{}:tried", self.prefix)
    }

    /// Where a channel's messages are heard.
    pub(super) fn topic(&self, channel: &ChannelName) -> String {
        format!("{}{channel}", self.topic_prefix)
    }

    /// The channel whose messages are heard there.
    pub(super) fn channel_of_topic(&self, topic: &[u8]) -> Option<ChannelName> {
        let name = topic.strip_prefix(self.topic_prefix.as_bytes())?;
        ChannelName::parse(std::str::from_utf8(name).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_with_braces_have_keys_of_their_own() {
        let keys = Keys::new("w", 0);
        let name = |text: &str| ChannelName::parse(text).unwrap();
        let key = |text: &str| IdempotencyKey::parse(text).unwrap();
        assert_eq!(keys.state(&name("a")), "w:s:{a}");
        assert_ne!(
            keys.idempotency(&name("a}b"), &key("c")),
            keys.idempotency(&name("a"), &key("b}c"))
        );
    }

    #[test]
    fn a_topic_leads_to_its_channel_in_its_database_only() {
        let (one, other) = (Keys::new("w", 1), Keys::new("w", 2));
        let channel = ChannelName::parse("a:{b}").unwrap();
        let topic = one.topic(&channel);
        assert_eq!(one.channel_of_topic(topic.as_bytes()), Some(channel));
        assert_eq!(other.channel_of_topic(topic.as_bytes()), None);
    }
}
