//! The subscriptions of one channel on one shard, and the walk over them: no lock, no encoding, no allocation per
//! subscriber.

use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, EncodedMessage, Position};

use crate::engine::{ConnectionId, NumberedChange, Replay};
use crate::metrics::{GapReason, HoleOutcome, Metrics, Policy};

use crate::config::SlowConsumerPolicy;

use super::catch_up::Cause;
use super::catch_up_reader::{Behind, Turn};
use super::ended::Ended;
use super::hole::{Continuity, Filling, continuity};
use super::news::{News, Pending};
use super::outbox::Outbox;
use super::outbox::Pushed;
use super::progress::Loss;
use super::recent;
use super::subscription::{Destination, Sent, Subscription};
use super::watch::PresenceWatch;

/// What the shard has to do next, after a message has come.
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
    /// The messages that came while a hole is being filled.
    filling: Option<Filling>,
    /// Who came and went, and nobody was told yet.
    pending: Pending,
}

impl Fanout {
    pub(super) fn join(&mut self, destination: Destination) -> usize {
        self.subscriptions.insert(Subscription::new(destination))
    }

    pub(super) fn leave(&mut self, key: usize) {
        self.subscriptions.try_remove(key);
    }

    /// Whose subscriptions they are.
    pub(super) fn owners(&self) -> impl Iterator<Item = ConnectionId> {
        let subscriptions = self.subscriptions.iter();
        subscriptions.map(|(_, subscription)| subscription.destination.outbox.owner())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// The wires of the subscriptions, each once.
    pub(super) fn wires(&self) -> Vec<Wire> {
        let mut wires = Vec::new();
        for (_, subscription) in &self.subscriptions {
            let wire = subscription.destination.outbox.form().wire;
            if !wires.contains(&wire) {
                wires.push(wire);
            }
        }
        wires
    }

    /// Begins to deliver what comes after `start`: see [`Subscription::begin`].
    pub(super) fn begin(
        &mut self,
        key: usize,
        channel: &ChannelName,
        start: Position,
        nothing_past: bool,
    ) {
        if nothing_past {
            self.last.get_or_insert(start);
        }
        if let Some(subscription) = self.subscriptions.get_mut(key)
            && subscription.begin(start, nothing_past, self.last)
        {
            subscription.fall_behind(key, channel);
        }
    }

    /// Where the history is to be read from for a subscription that is behind.
    pub(super) fn begin_reading(
        &mut self,
        behind: &Behind,
        outbox: &Rc<Outbox>,
    ) -> Option<Position> {
        self.of(behind, outbox)?.begin_reading()
    }

    /// Sends a subscription what was read after `since`, as far as there is room.
    pub(super) fn send_past(
        &mut self,
        behind: &Behind,
        outbox: &Rc<Outbox>,
        (since, replay): (Position, &Replay),
        metrics: &Metrics,
    ) -> Turn {
        let last = self.last;
        let Some(subscription) = self.of(behind, outbox) else {
            return Turn::Over;
        };
        match subscription.send_past(since, replay, last) {
            Sent::More => Turn::Again,
            Sent::Nothing => Turn::Over,
            Sent::Live => {
                let seen = replay.position;
                self.last.get_or_insert(seen);
                Turn::Over
            }
            Sent::Lost(Cause::Slow) if subscription.destination.ends_when_slow() => {
                metrics.deliveries.gave_up();
                outbox.close(Ended::SlowConsumer);
                Turn::Over
            }
            Sent::Lost(cause) => {
                let reason = match cause {
                    Cause::Resumed => GapReason::ResumedTooLate,
                    Cause::Slow => GapReason::TooSlow,
                };
                metrics.gaps.told(&behind.channel, reason);
                self.tell_one(behind.key, &behind.channel, replay.position);
                Turn::Again
            }
        }
    }

    /// The subscription that was behind, if it still is there.
    fn of(&mut self, behind: &Behind, outbox: &Rc<Outbox>) -> Option<&mut Subscription> {
        let subscription = self.subscriptions.get_mut(behind.key)?;
        let is_same = subscription.first_lane == behind.first_lane
            && Rc::ptr_eq(&subscription.destination.outbox, outbox);
        is_same.then_some(subscription)
    }

    /// How far a subscription is, once it has begun, to tell its client.
    pub(super) fn place(&mut self, key: usize) -> Option<Position> {
        let subscription = self.subscriptions.get_mut(key)?;
        subscription.destination.renew_lane();
        subscription.place(self.last)
    }

    /// Delivers a message to everybody, or keeps it until what is missing before it is there.
    pub(super) fn arrived(&mut self, message: &Arc<EncodedMessage>, metrics: &Metrics) -> Next {
        if let Some(filling) = &mut self.filling {
            filling.wait(message);
            return Next::Nothing;
        }
        match continuity(self.last, message) {
            Continuity::Seen => Next::Nothing,
            Continuity::Next => {
                self.walk(message, metrics);
                Next::Nothing
            }
            Continuity::Hole => {
                let next = self.suspect_gap();
                if let Some(filling) = &mut self.filling {
                    filling.wait(message);
                }
                next
            }
        }
    }

    /// Something may be missing.
    pub(super) fn suspect_gap(&mut self) -> Next {
        for (_, subscription) in &mut self.subscriptions {
            subscription.suspect_gap();
        }
        match (&mut self.filling, self.last) {
            (None, Some(last)) => {
                self.filling = Some(Filling::since(last));
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

    /// Delivers the messages that were missing after `since`, and those that came meanwhile. If the subscriptions for which
    /// they were read have all left, nothing is delivered.
    pub(super) fn fill(
        &mut self,
        channel: &ChannelName,
        (since, replay): (Position, &Replay),
        metrics: &Metrics,
    ) -> Next {
        let Some(mut filling) = self.filling.take_if(|filling| filling.since == since) else {
            return Next::Nothing;
        };
        if !replay.recovered {
            metrics.gaps.hole(channel, HoleOutcome::Lost);
            self.lose(channel, replay.position, metrics);
        } else if filling.is_found_missing(&replay.messages) {
            metrics.gaps.hole(channel, HoleOutcome::Filled);
        }
        let mut incomplete = self.walk_on(&replay.messages, metrics);
        if !replay.complete {
            // The messages that came meanwhile have their place behind the next portion.
            filling.since = replay.position;
            self.filling = Some(filling);
            return Next::Fill(replay.position);
        }
        incomplete |= filling.incomplete | self.walk_on(&filling.waiting, metrics);
        if incomplete {
            self.suspect_gap()
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
    pub(super) fn tell_one(&self, key: usize, channel: &ChannelName, cursor: Position) {
        if let Some(subscription) = self.subscriptions.get(key) {
            subscription.destination.push_gap(channel, cursor);
        }
    }

    /// What follows the newest message that came is lost, up to `cursor`.
    fn lose(&mut self, channel: &ChannelName, cursor: Position, metrics: &Metrics) {
        let last = self.last.replace(cursor);
        for (key, subscription) in &mut self.subscriptions {
            match subscription.lose(last, cursor) {
                Loss::Nothing => {}
                Loss::Told => {
                    metrics.gaps.told(channel, GapReason::Hole);
                    subscription.destination.push_gap(channel, cursor);
                }
                Loss::InHistory => subscription.fall_behind(key, channel),
            }
        }
    }

    fn walk(&mut self, message: &Arc<EncodedMessage>, metrics: &Metrics) {
        let last = self.last.replace(message.position());
        let forms = message.forms();
        let mut delivered = 0;
        for (key, subscription) in &mut self.subscriptions {
            match subscription.take(message, &forms, last) {
                Some(Pushed::Queued) => delivered += 1,
                Some(Pushed::Dropped(count)) => {
                    delivered += 1;
                    count_dropped(subscription.destination.policy, count as u64, metrics);
                }
                Some(Pushed::Full) => {
                    count_dropped(subscription.destination.policy, 0, metrics);
                    subscription.fall_behind(key, &message.message().channel);
                }
                Some(Pushed::Closed) | None => {}
            }
        }
        recent::keep(&forms);
        metrics.deliveries.messages.inc_by(delivered);
    }

    /// Somebody came or went: [`Fanout::tell_news`] tells of it. Returns whether it has to be asked to.
    pub(super) fn presence(&mut self, change: NumberedChange) -> bool {
        self.pending.add(change)
    }

    /// Tells those who want to know who came and went since the last time.
    pub(super) fn tell_news(&mut self, channel: &ChannelName) {
        let changes = self.pending.take();
        let mut news = News::new(channel, &changes);
        for (_, subscription) in &mut self.subscriptions {
            let destination = &mut subscription.destination;
            if let Some(watch) = &mut destination.presence {
                watch.tell(&mut news, &destination.outbox);
            }
        }
    }

    /// From now on a subscriber hears who comes and goes, or no longer.
    pub(super) fn set_watch(&mut self, key: usize, watch: Option<Box<PresenceWatch>>) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.destination.presence = watch;
        }
    }

    /// A subscriber has been told who is here, after so many changes.
    pub(super) fn begin_watch(&mut self, key: usize, channel: &ChannelName, changes: u64) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            let destination = &mut subscription.destination;
            if let Some(watch) = &mut destination.presence {
                watch.begin(changes, channel, &destination.outbox);
            }
        }
    }

    /// A subscriber is shown a page of the list of who is here, of after so many changes.
    pub(super) fn shows_page(&mut self, key: usize, changes: u64) {
        if let Some(subscription) = self.subscriptions.get_mut(key)
            && let Some(watch) = &mut subscription.destination.presence
        {
            watch.shows_page(changes);
        }
    }
}

fn count_dropped(policy: SlowConsumerPolicy, messages: u64, metrics: &Metrics) {
    let policy = match policy {
        SlowConsumerPolicy::Disconnect => Policy::Disconnect,
        SlowConsumerPolicy::DropOldest => Policy::DropOldest,
        SlowConsumerPolicy::Latest => Policy::Latest,
    };
    metrics.deliveries.dropped(policy, messages);
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "fanout_order_tests.rs"]
mod order_tests;
