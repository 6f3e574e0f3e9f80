//! The channels a session has joined: a list in the order of their names, because most sessions have one, and a map would
//! cost each of them ten times as much.

use std::rc::Rc;

use widecast_protocol::{ChannelName, Position};

use crate::registry::Membership;

/// A channel that the session has joined.
pub(super) struct Joined {
    pub(super) membership: Rc<Membership>,
    /// Where the session began to hear it.
    pub(super) beginning: Option<Position>,
}

/// The channels a session has joined, each once.
#[derive(Default)]
pub(super) struct Channels(Vec<Joined>);

impl Channels {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, channel: &ChannelName) -> Result<usize, usize> {
        self.0
            .binary_search_by(|joined| joined.membership.channel().cmp(channel))
    }

    /// The session's part in a channel.
    pub(super) fn membership(&self, channel: &ChannelName) -> Option<&Rc<Membership>> {
        Some(&self.0[self.find(channel).ok()?].membership)
    }

    /// A place after which the session hears everything: the newest that is known.
    pub(super) fn place(&self, channel: &ChannelName) -> Option<Position> {
        let joined = &self.0[self.find(channel).ok()?];
        joined.membership.place().or(joined.beginning)
    }

    /// Adds a channel, or takes the place of the same.
    pub(super) fn insert(&mut self, joined: Joined) {
        match self.find(joined.membership.channel()) {
            Ok(index) => self.0[index] = joined,
            Err(index) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(index, joined);
            }
        }
    }

    /// Removes a channel.
    pub(super) fn remove(&mut self, channel: &ChannelName) -> Option<Joined> {
        self.find(channel).ok().map(|index| self.0.remove(index))
    }
}
