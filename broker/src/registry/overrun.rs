//! The channels of which something could not be handed over to a shard.

use std::collections::HashSet;

use widecast_protocol::ChannelName;

/// How many channels are remembered by name; beyond that all of them are suspected.
const NAMED_CHANNELS: usize = 4096;

/// The channels in which a shard has to look for holes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overrun {
    /// These.
    Channels(HashSet<ChannelName>),
    /// Too many to be named: all that the shard has.
    All,
}

impl Default for Overrun {
    fn default() -> Self {
        Self::Channels(HashSet::new())
    }
}

impl Overrun {
    /// Something of this channel could not be handed over.
    pub(super) fn add(&mut self, channel: &ChannelName) {
        let Self::Channels(channels) = self else {
            return;
        };
        if channels.contains(channel) {
            return;
        }
        if channels.len() < NAMED_CHANNELS {
            channels.insert(channel.clone());
        } else {
            *self = Self::All;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_named_as_long_as_they_are_not_too_many() {
        let name = |number: usize| ChannelName::parse(&number.to_string()).unwrap();
        let mut overrun = Overrun::default();
        for number in (0..NAMED_CHANNELS).chain(0..NAMED_CHANNELS) {
            overrun.add(&name(number));
        }
        let all: HashSet<_> = (0..NAMED_CHANNELS).map(name).collect();
        assert_eq!(overrun, Overrun::Channels(all));
        overrun.add(&name(NAMED_CHANNELS));
        assert_eq!(overrun, Overrun::All);
    }
}
