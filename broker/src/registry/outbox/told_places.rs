//! The places of which the client of an outbox has been told, for cursors that cover several channels and for the answers of
//! polls.
//!
//! A place moves when the item that leads to it is written, never when the item is queued: so no cursor is ahead of what
//! stands before it in the stream, whatever is dropped in between.

use widecast_protocol::{ChannelName, CursorVector, Position};

/// The places of a client.
#[derive(Default)]
pub(in crate::registry) struct ToldPlaces {
    told: CursorVector,
    /// The client's own messages, which it is not sent: the places behind them hold once everything that waits is told.
    passed: Vec<(ChannelName, Position)>,
}

impl ToldPlaces {
    pub(in crate::registry) fn told(&self) -> &CursorVector {
        &self.told
    }

    /// The client has been told everything up to `position`.
    pub(in crate::registry) fn tell(&mut self, channel: &ChannelName, position: Position) {
        self.told.set(channel, position);
    }

    /// The client will have been told everything up to `position` when all that waits is written.
    pub(in crate::registry) fn pass(&mut self, channel: &ChannelName, position: Position) {
        self.overtake(channel);
        self.passed.push((channel.clone(), position));
    }

    /// Something newer of the channel waits now.
    pub(in crate::registry) fn overtake(&mut self, channel: &ChannelName) {
        self.passed.retain(|(passed, _)| passed != channel);
    }

    /// Nothing waits any more.
    pub(in crate::registry) fn tell_passed(&mut self) {
        let passed = std::mem::take(&mut self.passed);
        for (channel, position) in passed {
            self.told.set(&channel, position);
        }
    }

    /// What waited will never be told.
    pub(in crate::registry) fn forget_passed(&mut self) {
        self.passed.clear();
    }

    /// Moves `at`, the place after the last waiting item, past the client's own messages.
    pub(in crate::registry) fn behind_the_last(&self, at: &mut CursorVector) {
        for (channel, position) in &self.passed {
            at.set(channel, *position);
        }
    }
}
