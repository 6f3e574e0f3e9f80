//! The subscriptions of one channel on one shard, and the walk over them: no lock, no encoding, no allocation per
//! subscriber.

use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, EncodedMessage, Position, Reply};

use crate::engine::{PresenceChange, Replay};
use crate::metrics::{Metrics, Policy};

use crate::config::SlowConsumer;

use super::outbox::Pushed;
use super::subscription::{CatchUp, Continuity, Subscriber, Subscription, continuity};

/// How many messages wait while a hole is being filled; beyond that the history is read again.
const WAITING_MESSAGES: usize = 1024;

/// What has to be done after a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// Read the history after this position and give it to [`Fanout::fill`].
    Fill(Position),
}

/// The subscriptions of one channel on one shard.
#[derive(Default)]
pub(super) struct Fanout {
    subscriptions: Slab<Subscription>,
    /// The newest message that every live subscription has been given.
    last: Option<Position>,
    /// What came while a hole is being filled.
    filling: Option<Filling>,
}

#[derive(Default)]
struct Filling {
    waiting: Vec<Arc<EncodedMessage>>,
    /// Not everything that came is waiting: the history has to be read once more.
    incomplete: bool,
}

impl Fanout {
    pub(super) fn join(&mut self, subscriber: Subscriber) -> usize {
        self.subscriptions.insert(Subscription::new(subscriber))
    }

    pub(super) fn leave(&mut self, key: usize) {
        self.subscriptions.try_remove(key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(key)
    }

    pub(super) fn go_live(&mut self, key: usize, seen: Position) -> CatchUp {
        self.last.get_or_insert(seen);
        match self.subscriptions.get_mut(key) {
            Some(subscription) => subscription.go_live(seen),
            None => CatchUp::Live,
        }
    }

    /// How far a subscription is, unless it is still catching up.
    pub(super) fn place(&self, key: usize) -> Option<Position> {
        self.subscriptions.get(key)?.place(self.last)
    }

    /// Delivers a message to everybody, or keeps it until what is missing before it is there.
    pub(super) fn arrived(&mut self, message: &Arc<EncodedMessage>, metrics: &Metrics) -> Next {
        if let Some(filling) = &mut self.filling {
            if filling.waiting.len() < WAITING_MESSAGES {
                filling.waiting.push(Arc::clone(message));
            } else {
                filling.incomplete = true;
            }
            return Next::Nothing;
        }
        match continuity(self.last, message) {
            Continuity::Seen => Next::Nothing,
            Continuity::Next => {
                self.walk(message, metrics);
                Next::Nothing
            }
            Continuity::Hole => {
                let next = self.doubt();
                if let Some(filling) = &mut self.filling {
                    filling.waiting.push(Arc::clone(message));
                }
                next
            }
        }
    }

    /// Something may be missing.
    pub(super) fn doubt(&mut self) -> Next {
        for (_, subscription) in &mut self.subscriptions {
            subscription.doubt();
        }
        match (&mut self.filling, self.last) {
            (None, Some(last)) => {
                self.filling = Some(Filling::default());
                Next::Fill(last)
            }
            (Some(filling), _) => {
                // It may have been lost after the history was read.
                filling.incomplete = true;
                Next::Nothing
            }
            (None, None) => Next::Nothing,
        }
    }

    /// Delivers what was missing, and what came since.
    pub(super) fn fill(
        &mut self,
        channel: &ChannelName,
        replay: &Replay,
        metrics: &Metrics,
    ) -> Next {
        let filling = self.filling.take().unwrap_or_default();
        if !replay.recovered {
            self.last = Some(replay.position);
            self.tell_gap(channel, replay.position, metrics);
        }
        let mut incomplete = filling.incomplete;
        for message in replay.messages.iter().chain(&filling.waiting) {
            match continuity(self.last, message) {
                Continuity::Next => self.walk(message, metrics),
                Continuity::Seen => {}
                Continuity::Hole => incomplete = true,
            }
        }
        if incomplete {
            self.doubt()
        } else {
            Next::Nothing
        }
    }

    fn tell_gap(&self, channel: &ChannelName, cursor: Position, metrics: &Metrics) {
        for (_, subscription) in &self.subscriptions {
            if subscription.is_live_before(cursor) {
                metrics.sessions.gaps.inc();
                subscription.subscriber.push_gap(channel, cursor);
            }
        }
    }

    fn walk(&mut self, message: &Arc<EncodedMessage>, metrics: &Metrics) {
        self.last = Some(message.position());
        let mut delivered = 0;
        for (_, subscription) in &mut self.subscriptions {
            let hold_bytes = subscription.subscriber.outbox.limit_bytes();
            match subscription.take(message, hold_bytes) {
                Some(Pushed::Queued) => delivered += 1,
                Some(Pushed::Dropped(count)) => {
                    delivered += 1;
                    count_dropped(subscription.subscriber.policy, count as u64, metrics);
                }
                Some(Pushed::Full) => count_dropped(SlowConsumer::Disconnect, 1, metrics),
                Some(Pushed::Closed) | None => {}
            }
        }
        metrics.deliveries.messages.inc_by(delivered);
    }

    /// Tells those who want to know who came or went.
    pub(super) fn presence(&self, channel: &ChannelName, change: &PresenceChange) {
        let mut encoded: Vec<(Wire, Bytes)> = Vec::new();
        let (PresenceChange::Joined(member) | PresenceChange::Left(member)) = change;
        for (_, subscription) in &self.subscriptions {
            let subscriber = &subscription.subscriber;
            let Some(watch) = &subscriber.presence else {
                continue;
            };
            if watch.own_id == member.id {
                continue;
            }
            let known = encoded.iter().find(|(wire, _)| *wire == watch.wire);
            let bytes = if let Some((_, bytes)) = known {
                bytes.clone()
            } else {
                let bytes = watch.wire.encode(&frame(channel, change));
                encoded.push((watch.wire, bytes.clone()));
                bytes
            };
            subscriber.outbox.push_frame(bytes);
        }
    }
}

fn frame(channel: &ChannelName, change: &PresenceChange) -> Reply {
    let channel = channel.clone();
    match change.clone() {
        PresenceChange::Joined(member) => Reply::Join { channel, member },
        PresenceChange::Left(member) => Reply::Leave { channel, member },
    }
}

fn count_dropped(policy: SlowConsumer, messages: u64, metrics: &Metrics) {
    let policy = match policy {
        SlowConsumer::Disconnect => Policy::Disconnect,
        SlowConsumer::DropOldest => Policy::DropOldest,
        SlowConsumer::Latest => Policy::Latest,
    };
    metrics.deliveries.dropped(policy, messages);
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
