//! The subscriptions of one channel on one shard, and the walk over them: no lock, no encoding, no allocation per
//! subscriber.

use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;
use widecast_protocol::{ChannelName, Code, EncodedMessage, Position};

use crate::engine::{NumberedChange, Replay};
use crate::metrics::{Metrics, Policy};

use crate::config::SlowConsumer;

use super::catch_up::Cause;
use super::outbox::{Outbox, Pushed};
use super::pace::{Behind, Turn};
use super::subscription::{Continuity, Sent, Subscriber, Subscription, continuity};
use super::watch::{News, PresenceWatch};

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

    /// Begins to deliver what comes after `start`: see [`Subscription::begin`].
    pub(super) fn begin(&mut self, behind: &Behind, start: Position, nothing_past: bool) {
        if nothing_past {
            self.last.get_or_insert(start);
        }
        if let Some(subscription) = self.subscriptions.get_mut(behind.key)
            && subscription.begin(start, nothing_past)
        {
            subscription.subscriber.outbox.is_behind(behind.clone());
        }
    }

    /// Where the history is to be read from for a subscription that is behind.
    pub(super) fn begin_reading(&mut self, key: usize, outbox: &Rc<Outbox>) -> Option<Position> {
        self.of(key, outbox)?.begin_reading()
    }

    /// Sends a subscription what was read after `since`, as far as there is room.
    pub(super) fn send_past(
        &mut self,
        behind: &Behind,
        outbox: &Rc<Outbox>,
        (since, replay): (Position, &Replay),
        metrics: &Metrics,
    ) -> Turn {
        let Some(subscription) = self.of(behind.key, outbox) else {
            return Turn::Over;
        };
        match subscription.send_past(since, replay) {
            Sent::More => Turn::Again,
            Sent::Nothing => Turn::Over,
            Sent::Live => {
                let seen = replay.position;
                self.last.get_or_insert(seen);
                Turn::Over
            }
            Sent::Lost(Cause::Slow) if subscription.subscriber.ends_when_slow() => {
                metrics.deliveries.gave_up();
                outbox.close(Code::SlowConsumer);
                Turn::Over
            }
            Sent::Lost(_) => {
                let (channel, position) = (&behind.channel, replay.position);
                self.tell_one(behind.key, channel, position, metrics);
                Turn::Again
            }
        }
    }

    /// The subscription of this key, if it is still that of this outbox.
    fn of(&mut self, key: usize, outbox: &Rc<Outbox>) -> Option<&mut Subscription> {
        let subscription = self.subscriptions.get_mut(key)?;
        Rc::ptr_eq(&subscription.subscriber.outbox, outbox).then_some(subscription)
    }

    /// How far a subscription is, once it has begun, to tell its client.
    pub(super) fn place(&mut self, key: usize) -> Option<Position> {
        let subscription = self.subscriptions.get_mut(key)?;
        subscription.subscriber.renew_lane();
        subscription.place(self.last)
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
        let mut incomplete = self.walk_on(&replay.messages, metrics);
        if !replay.complete {
            // What came meanwhile has its place behind the next portion.
            self.filling = Some(filling);
            return Next::Fill(replay.position);
        }
        incomplete |= filling.incomplete | self.walk_on(&filling.waiting, metrics);
        if incomplete {
            self.doubt()
        } else {
            Next::Nothing
        }
    }

    /// Delivers those of the messages that come next. Returns whether something is missing between them.
    fn walk_on(&mut self, messages: &[Arc<EncodedMessage>], metrics: &Metrics) -> bool {
        let mut missing = false;
        for message in messages {
            match continuity(self.last, message) {
                Continuity::Next => self.walk(message, metrics),
                Continuity::Seen => {}
                Continuity::Hole => missing = true,
            }
        }
        missing
    }

    /// Tells one subscriber that messages up to `cursor` are lost.
    pub(super) fn tell_one(
        &self,
        key: usize,
        channel: &ChannelName,
        cursor: Position,
        metrics: &Metrics,
    ) {
        if let Some(subscription) = self.subscriptions.get(key) {
            metrics.sessions.gaps.inc();
            subscription.subscriber.push_gap(channel, cursor);
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
        let last = self.last.replace(message.position());
        let mut delivered = 0;
        for (key, subscription) in &mut self.subscriptions {
            match subscription.take(message, last) {
                Some(Pushed::Queued) => delivered += 1,
                Some(Pushed::Dropped(count)) => {
                    delivered += 1;
                    count_dropped(subscription.subscriber.policy, count as u64, metrics);
                }
                Some(Pushed::Full) => {
                    let subscriber = &subscription.subscriber;
                    count_dropped(subscriber.policy, 0, metrics);
                    let channel = message.message().channel.clone();
                    subscriber.outbox.is_behind(Behind { channel, key });
                }
                Some(Pushed::Closed) | None => {}
            }
        }
        metrics.deliveries.messages.inc_by(delivered);
    }

    /// Tells those who want to know who came or went.
    pub(super) fn presence(&mut self, channel: &ChannelName, change: &NumberedChange) {
        let mut news = News::new(channel, change);
        for (_, subscription) in &mut self.subscriptions {
            let subscriber = &mut subscription.subscriber;
            if let Some(watch) = &mut subscriber.presence {
                watch.tell(&mut news, &subscriber.outbox);
            }
        }
    }

    /// From now on a subscriber hears who comes and goes, or no longer.
    pub(super) fn set_watch(&mut self, key: usize, watch: Option<Box<PresenceWatch>>) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.subscriber.presence = watch;
        }
    }

    /// A subscriber has been told who is here, after so many changes.
    pub(super) fn begin_watch(&mut self, key: usize, channel: &ChannelName, changes: u64) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            let subscriber = &mut subscription.subscriber;
            if let Some(watch) = &mut subscriber.presence {
                watch.begin(changes, channel, &subscriber.outbox);
            }
        }
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
