//! One session's subscription to one channel.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use widecast_protocol::{ChannelName, EncodedMessage, Forms, Position, SenderKey};

use crate::config::SlowConsumerPolicy;
use crate::engine::Replay;

use super::catch_up::Cause;
use super::catch_up_reader::Behind;
use super::outbox::Lane;
use super::outbox::Outbox;
use super::outbox::Pushed;
use super::progress::{Loss, Progress};
use super::recent;
use super::watch::PresenceWatch;

/// Where the messages of one channel go for one session.
pub struct Destination {
    /// Where its bytes go.
    pub outbox: Rc<Outbox>,
    /// Messages with this key are not delivered; `None` for a session that hears its own.
    pub sender: Option<SenderKey>,
    /// The lane of the subscription in the outbox.
    pub lane: Lane,
    /// What happens when its outbox is full.
    pub policy: SlowConsumerPolicy,
    /// Whether it hears who comes and goes.
    pub presence: Option<Box<PresenceWatch>>,
}

impl Destination {
    /// Pushes a message, unless it is the subscriber's own.
    pub(super) fn push(&self, message: &Arc<EncodedMessage>, forms: &Forms<'_>) -> Option<Pushed> {
        let bytes = self.bytes(message, forms)?;
        let pushed = self
            .outbox
            .push_message(bytes, message, self.lane, self.policy);
        Some(pushed)
    }

    /// Whether its session ends when it reads so slowly that messages are lost.
    pub(super) fn ends_when_slow(&self) -> bool {
        self.policy == SlowConsumerPolicy::Disconnect || !self.outbox.form().can_tell_gaps()
    }

    /// Pushes a message of the history, unless it is the subscriber's own.
    pub(super) fn push_past(&self, message: &Arc<EncodedMessage>) -> Option<Pushed> {
        let forms = message.forms();
        let bytes = self.bytes(message, &forms)?;
        recent::keep(&forms);
        Some(self.outbox.push_past(bytes, message, self.lane))
    }

    /// The client is being told its place: a gap for messages lost from now on has to stand behind that.
    pub(super) fn renew_lane(&mut self) {
        self.lane = self.outbox.lane();
    }

    /// Tells that messages up to `cursor` are lost.
    pub(super) fn push_gap(&self, channel: &ChannelName, cursor: Position) {
        self.outbox.push_gap(channel, cursor, self.lane);
    }

    /// The bytes of a message, unless it is the subscriber's own.
    fn bytes(&self, message: &EncodedMessage, forms: &Forms<'_>) -> Option<Bytes> {
        if self.sender.is_some() && self.sender == message.message().sender {
            self.outbox.pass(message);
            return None;
        }
        let outbox_form = self.outbox.form();
        Some(if outbox_form.has_vector() {
            forms.after_cursor(outbox_form.wire)
        } else {
            forms.bytes(outbox_form.wire)
        })
    }
}

/// A destination, and how far its client is.
pub(super) struct Subscription {
    pub(super) destination: Destination,
    /// The lane in which it began: no other subscription of its outbox begins in the same.
    pub(super) first_lane: Lane,
    progress: Progress,
}

/// The outcome of sending a subscription a portion of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Some of the past is left.
    More,
    /// Nothing is left: the subscription hears messages as they come.
    Live,
    /// The history no longer reaches back.
    Lost(Cause),
    /// It is not behind, or not where the portion begins.
    Nothing,
}

impl Subscription {
    pub(super) fn new(destination: Destination) -> Self {
        Self {
            first_lane: destination.lane,
            destination,
            progress: Progress::new(),
        }
    }

    /// Delivers a message, or leaves it for later. `last` is the place of the message before it.
    pub(super) fn take(
        &mut self,
        message: &Arc<EncodedMessage>,
        forms: &Forms<'_>,
        last: Option<Position>,
    ) -> Option<Pushed> {
        let limit_bytes = self.destination.outbox.limit_bytes();
        if !self.progress.is_for_now(message, limit_bytes) {
            return None;
        }
        let pushed = self.destination.push(message, forms);
        if pushed == Some(Pushed::Full) {
            self.progress.overrun(message.position(), last);
        }
        pushed
    }

    /// Begins to deliver what comes after `start`. With `nothing_past` that is what has come since the subscription was
    /// made; otherwise, and if the shard has delivered something since that was not held, the history is read from there. The newest
    /// message that the shard has delivered is `last`. Returns whether the subscription is behind.
    pub(super) fn begin(
        &mut self,
        start: Position,
        nothing_past: bool,
        last: Option<Position>,
    ) -> bool {
        let held = self.progress.begin(start, nothing_past, last);
        let mut before = None;
        for message in held {
            self.take(&message, &message.forms(), before);
            before = Some(message.position());
        }
        self.progress.is_behind()
    }

    /// Asks for the subscription to be given its turn to read the history.
    pub(super) fn fall_behind(&self, key: usize, channel: &ChannelName) {
        self.destination.outbox.is_behind(Behind {
            channel: channel.clone(),
            key,
            first_lane: self.first_lane,
        });
    }

    /// Where the history is to be read from for a subscription that is behind.
    pub(super) fn begin_reading(&mut self) -> Option<Position> {
        self.progress.begin_reading()
    }

    /// Sends what was read after `since`, as far as there is room. The newest message that the shard has delivered is `last`.
    pub(super) fn send_past(
        &mut self,
        since: Position,
        replay: &Replay,
        last: Option<Position>,
    ) -> Sent {
        let Some(catch_up) = self.progress.catch_up_at(since) else {
            return Sent::Nothing;
        };
        if !replay.recovered {
            catch_up.sent(replay.position);
            return Sent::Lost(catch_up.cause());
        }
        for message in &replay.messages {
            if !self.destination.outbox.has_room() {
                return Sent::More;
            }
            self.destination.push_past(message);
            catch_up.sent(message.position());
        }
        if replay.complete && self.progress.reached_end(last) {
            return Sent::Live;
        }
        Sent::More
    }

    /// Something may be missing among what came.
    pub(super) fn suspect_gap(&mut self) {
        self.progress.suspect_gap();
    }

    /// How far the subscription is, once it has begun; the newest that came is `last`.
    pub(super) fn place(&self, last: Option<Position>) -> Option<Position> {
        self.progress.place(last)
    }

    /// What follows `last`, the newest that came, is lost to whoever needs it, up to `upto`.
    pub(super) fn lose(&mut self, last: Option<Position>, upto: Position) -> Loss {
        self.progress.lose(last, upto)
    }
}
