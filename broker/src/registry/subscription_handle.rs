//! The handle by which a session has its subscription to a channel.

use std::rc::Rc;

use widecast_protocol::{ChannelName, Position};

use crate::engine::EngineError;

use super::shard::Shard;
use super::watch::PresenceWatch;

/// A session's subscription to a channel; dropping it leaves the channel.
pub struct SubscriptionHandle {
    pub(super) shard: Rc<Shard>,
    pub(super) channel: ChannelName,
    pub(super) key: usize,
}

impl SubscriptionHandle {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Has the engine deliver to this node: from the answer on, every message reaches the subscription.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn subscribe(&self) -> Result<(), EngineError> {
        self.shard.want(&self.channel).await
    }

    /// From now on this session hears who comes and goes, once it has begun to; or no longer.
    pub fn set_watch(&self, watch: Option<PresenceWatch>) {
        if let Some(fanout) = self.shard.channels.borrow_mut().get_mut(&self.channel) {
            fanout.set_watch(self.key, watch.map(Box::new));
        }
    }

    /// This session has been told who is here, after so many changes: it hears of those after them.
    pub fn begin_watch(&self, changes: u64) {
        if let Some(fanout) = self.shard.channels.borrow_mut().get_mut(&self.channel) {
            fanout.begin_watch(self.key, &self.channel, changes);
        }
    }

    /// This session is shown a page of the list of who is here, of after so many changes.
    pub fn shows_page(&self, changes: u64) {
        if let Some(fanout) = self.shard.channels.borrow_mut().get_mut(&self.channel) {
            fanout.shows_page(self.key, changes);
        }
    }

    /// Tells this session that messages up to `cursor` are lost.
    pub fn tell_gap(&self, cursor: Position) {
        let channels = self.shard.channels.borrow();
        if let Some(fanout) = channels.get(&self.channel) {
            fanout.tell_one(self.key, &self.channel, cursor);
        }
    }

    /// How far the session is, once it has begun, to tell its client.
    pub fn place(&self) -> Option<Position> {
        let mut channels = self.shard.channels.borrow_mut();
        channels.get_mut(&self.channel)?.place(self.key)
    }

    /// Begins to deliver what comes after `start`. With `nothing_past` that is what has come since the subscription was
    /// made, otherwise the history is read from there: [`Shard::catch_up`] does so.
    pub fn begin(&self, start: Position, nothing_past: bool) {
        if let Some(fanout) = self.shard.channels.borrow_mut().get_mut(&self.channel) {
            fanout.begin(self.key, &self.channel, start, nothing_past);
        }
    }
}

impl Drop for SubscriptionHandle {
    fn drop(&mut self) {
        self.shard.leave(self);
    }
}
