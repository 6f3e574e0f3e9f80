//! Which rights somebody has on which channels.

use std::collections::{BTreeMap, BTreeSet};

use widecast_protocol::ChannelName;

use super::claims::Words;
use crate::config::{ChannelPattern, Right, Rights};

/// The rights that credentials give, by patterns of channels. What no pattern names is not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    rules: Vec<(ChannelPattern, Rights)>,
    /// The channels that sessions join without asking. `Grant::rights` includes the right to subscribe to them.
    subscriptions: BTreeSet<ChannelName>,
}

impl Grant {
    /// How many patterns a grant may have: each is looked at when a channel is asked for.
    pub const MAX_PATTERNS: usize = 256;

    /// A grant of these rights.
    pub fn new(rules: Vec<(ChannelPattern, Rights)>) -> Self {
        Self {
            rules,
            subscriptions: BTreeSet::new(),
        }
    }

    /// The same, with channels that sessions join without asking: the right to subscribe is given with them.
    #[must_use]
    pub fn subscribing(self, subscriptions: BTreeSet<ChannelName>) -> Self {
        Self {
            subscriptions,
            ..self
        }
    }

    /// The channels that sessions join without asking, in order.
    pub fn subscriptions(&self) -> impl Iterator<Item = &ChannelName> {
        self.subscriptions.iter()
    }

    /// The rights of a table of patterns, in which `{sub}` stands for the user.
    ///
    /// # Errors
    /// What is wrong with it, in words that begin with "channels".
    pub fn read(channels: &BTreeMap<String, Words>, user: Option<&str>) -> Result<Self, String> {
        let patterns = channels.len();
        if patterns > Self::MAX_PATTERNS {
            let most = Self::MAX_PATTERNS;
            return Err(format!(
                "channels has {patterns} patterns, {most} are allowed"
            ));
        }
        let mut rules = Vec::with_capacity(patterns);
        for (text, words) in channels {
            let pattern = ChannelPattern::parse_for(text, user)
                .map_err(|error| format!("channels has {text:?}: {error}"))?;
            let rights = words.rights().ok_or_else(|| {
                format!("channels has {text:?} with other than {}", Rights::EXPECTED)
            })?;
            rules.push((pattern, rights));
        }
        Ok(Self::new(rules))
    }

    /// The rights on a channel: those of every pattern that is for it, and to subscribe to one that is joined without asking.
    pub fn rights(&self, channel: &ChannelName) -> Rights {
        let rules = self.rules.iter();
        let matching = rules.filter(|(pattern, _)| pattern.matches(channel));
        let own = if self.has_subscription(channel) {
            Right::Subscribe.into()
        } else {
            Rights::NONE
        };
        matching.fold(own, |sum, (_, rights)| sum.union(*rights))
    }

    /// The patterns that give a right on a channel, in which the user stands in place of `{sub}`.
    pub fn giving(
        &self,
        right: Right,
        channel: &ChannelName,
    ) -> impl Iterator<Item = &ChannelPattern> {
        let rules = self.rules.iter();
        let giving = rules.filter(move |(_, rights)| rights.has(right));
        let patterns = giving.map(|(pattern, _)| pattern);
        patterns.filter(|pattern| pattern.matches(channel))
    }

    /// Whether sessions join this channel without asking.
    pub fn has_subscription(&self, channel: &ChannelName) -> bool {
        self.subscriptions.contains(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_add_up_and_nothing_else_is_given() {
        let rule = |pattern: &str, right: Right| {
            (ChannelPattern::parse(pattern).unwrap(), Rights::from(right))
        };
        let grant = Grant::new(vec![
            rule("user:7:*", Right::Subscribe),
            rule("user:*", Right::Presence),
        ]);
        let rights = |name: &str| grant.rights(&ChannelName::parse(name).unwrap());
        let both = Rights::read(["subscribe", "presence"]).unwrap();
        assert_eq!(rights("user:7:inbox"), both);
        assert_eq!(rights("user:8:inbox"), Right::Presence.into());
        assert_eq!(rights("news"), Rights::NONE);
        assert_eq!(
            Grant::default().rights(&ChannelName::parse("news").unwrap()),
            Rights::NONE
        );
    }
}
