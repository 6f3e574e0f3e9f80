//! The channels a session has joined: a list in the order of their names, because most sessions have one, and a map would
//! cost each of them ten times as much.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use widecast_protocol::{ChannelName, Position};

use crate::registry::SubscriptionHandle;

/// A channel that the session has joined.
pub(super) struct JoinedChannel {
    pub(super) handle: Rc<SubscriptionHandle>,
    pub(super) joined: Instant,
    /// Where the session began to hear it.
    pub(super) beginning: Option<Position>,
    /// Whether it is there only because a token names it.
    pub(super) is_named: bool,
}

/// The channels a session has joined, each once.
#[derive(Default)]
pub(super) struct Channels(Vec<JoinedChannel>);

impl Channels {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, channel: &ChannelName) -> Result<usize, usize> {
        self.0
            .binary_search_by(|joined| joined.handle.channel().cmp(channel))
    }

    /// The channels' names.
    pub(super) fn names(&self) -> Vec<ChannelName> {
        let joined = self.0.iter();
        joined
            .map(|joined| joined.handle.channel().clone())
            .collect()
    }

    /// Those that are there only because a token has named them, and that are not among these.
    pub(super) fn named_by_token(&self, but: &BTreeSet<ChannelName>) -> Vec<ChannelName> {
        let named = self.0.iter().filter(|joined| joined.is_named);
        let channels = named.map(|joined| joined.handle.channel());
        channels
            .filter(|channel| !but.contains(*channel))
            .cloned()
            .collect()
    }

    /// The channel is there only because a token names it.
    pub(super) fn note_named(&mut self, channel: &ChannelName) {
        self.set_named(channel, true);
    }

    /// The client has asked for the channel itself.
    pub(super) fn note_asked_for(&mut self, channel: &ChannelName) {
        self.set_named(channel, false);
    }

    fn set_named(&mut self, channel: &ChannelName, is_named: bool) {
        if let Ok(index) = self.find(channel) {
            self.0[index].is_named = is_named;
        }
    }

    /// The session's subscription to a channel.
    pub(super) fn handle(&self, channel: &ChannelName) -> Option<&Rc<SubscriptionHandle>> {
        Some(&self.0[self.find(channel).ok()?].handle)
    }

    /// When a channel was joined.
    pub(super) fn joined(&self, channel: &ChannelName) -> Option<Instant> {
        Some(self.0[self.find(channel).ok()?].joined)
    }

    /// Whether this is the session's present subscription to its channel.
    pub(super) fn holds(&self, handle: &Rc<SubscriptionHandle>) -> bool {
        let present = self.handle(handle.channel());
        present.is_some_and(|present| Rc::ptr_eq(present, handle))
    }

    /// A place after which the session hears everything: the newest that is known.
    pub(super) fn place(&self, channel: &ChannelName) -> Option<Position> {
        let joined = &self.0[self.find(channel).ok()?];
        joined.handle.place().or(joined.beginning)
    }

    /// Adds a channel, or takes the place of the same.
    pub(super) fn insert(&mut self, joined: JoinedChannel) {
        match self.find(joined.handle.channel()) {
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
    pub(super) fn remove(&mut self, channel: &ChannelName) -> Option<JoinedChannel> {
        self.find(channel).ok().map(|index| self.0.remove(index))
    }
}
