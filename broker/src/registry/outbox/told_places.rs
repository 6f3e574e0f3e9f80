//! The places of which the client of an outbox has been told: for cursors that cover several channels, for the answers of
//! polls, and for clients that publish, whose cursors move past messages that they are not sent.
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
    /// Whether `told` has places that stand in nothing that was written.
    is_unsaid: bool,
}

impl ToldPlaces {
    pub(in crate::registry) fn told(&self) -> &CursorVector {
        &self.told
    }

    /// The client has been told everything up to `position`.
    pub(in crate::registry) fn tell(&mut self, channel: &ChannelName, position: Position) {
        self.told.set(channel, position);
    }

    /// The same, and what was written has said so, with all other places.
    pub(in crate::registry) fn say(&mut self, channel: &ChannelName, position: Position) {
        self.tell(channel, position);
        self.is_unsaid = false;
    }

    /// The client's own message ends at `position`, and nothing waits: nothing that is written will say so.
    pub(in crate::registry) fn pass_unsaid(&mut self, channel: &ChannelName, position: Position) {
        self.tell(channel, position);
        self.is_unsaid = true;
    }

    /// The client's places, if some of them are unsaid. From now on they count as said.
    pub(in crate::registry) fn take_unsaid(&mut self) -> Option<&CursorVector> {
        std::mem::take(&mut self.is_unsaid).then_some(&self.told)
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

    /// Nothing waits any more. `is_said`: the last item was written with the places behind the client's own messages.
    pub(in crate::registry) fn tell_passed(&mut self, is_said: bool) {
        let passed = std::mem::take(&mut self.passed);
        self.is_unsaid |= !passed.is_empty() && !is_said;
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
