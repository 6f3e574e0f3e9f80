//! One session's part in one channel.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use widecast_protocol::{ChannelName, EncodedMessage, Offset, Position, SenderKey};

use crate::config::SlowConsumer;
use crate::engine::Replay;

use super::catch_up::{CatchUp, Cause, Passed};
use super::item::Lane;
use super::outbox::{Outbox, Pushed};
use super::watch::PresenceWatch;

/// A session as a channel sees it.
pub struct Subscriber {
    /// Where its bytes go.
    pub outbox: Rc<Outbox>,
    /// Messages with this key are not delivered; `None` for a session that hears its own.
    pub sender: Option<SenderKey>,
    /// Its part of the outbox.
    pub lane: Lane,
    /// What happens when its outbox is full.
    pub policy: SlowConsumer,
    /// Whether it hears who comes and goes.
    pub presence: Option<Box<PresenceWatch>>,
}

impl Subscriber {
    /// Pushes a message, unless it is the subscriber's own.
    pub(super) fn push(&self, message: &Arc<EncodedMessage>) -> Option<Pushed> {
        let bytes = self.bytes(message)?;
        let pushed = self
            .outbox
            .push_message(bytes, message, self.lane, self.policy);
        Some(pushed)
    }

    /// Whether its session ends when it reads so slowly that messages are lost.
    pub(super) fn ends_when_slow(&self) -> bool {
        self.policy == SlowConsumer::Disconnect || !self.outbox.voice().can_tell_gaps()
    }

    /// Pushes a message of the history, unless it is the subscriber's own.
    pub(super) fn push_past(&self, message: &Arc<EncodedMessage>) -> Option<Pushed> {
        let bytes = self.bytes(message)?;
        Some(self.outbox.push_past(bytes, message, self.lane))
    }

    /// The client is told where it is: what is lost from now on is told behind that.
    pub(super) fn renew_lane(&mut self) {
        self.lane = self.outbox.lane();
    }

    /// Tells that messages up to `cursor` are lost.
    pub(super) fn push_gap(&self, channel: &ChannelName, cursor: Position) {
        self.outbox.push_gap(channel, cursor, self.lane);
    }

    /// The bytes of a message, unless it is the subscriber's own.
    fn bytes(&self, message: &Arc<EncodedMessage>) -> Option<Bytes> {
        if self.sender.is_some() && self.sender == message.message().sender {
            self.outbox.pass(message);
            return None;
        }
        let voice = self.outbox.voice();
        Some(if voice.has_vector() {
            message.after_cursor(voice.wire)
        } else {
            message.bytes(voice.wire)
        })
    }
}

/// Messages that came before it was known where the session begins.
pub(super) struct Held {
    messages: Vec<Arc<EncodedMessage>>,
    bytes: usize,
    /// What came; `messages` are all of it as long as they are not given up.
    passed: Passed,
    /// More came than may be held, or something may be missing: the history has to be read.
    given_up: bool,
}

impl Held {
    const fn nothing() -> Self {
        Self {
            messages: Vec::new(),
            bytes: 0,
            passed: Passed::Nothing,
            given_up: false,
        }
    }

    fn hold(&mut self, message: &Arc<EncodedMessage>, limit_bytes: usize) {
        self.bytes += message.weight_bytes();
        if self.passed != Passed::Unknown {
            self.passed = Passed::UpTo(message.position());
        }
        if self.given_up || self.bytes > limit_bytes {
            self.give_up();
        } else {
            self.messages.push(Arc::clone(message));
        }
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.messages = Vec::new();
    }
}

enum State {
    /// It is not yet known where the session begins.
    Joining(Box<Held>),
    /// What it has yet to hear is in the history.
    Behind(Box<CatchUp>),
    /// Hears messages as they come, but nothing up to `seen` again.
    Live { seen: Position },
}

/// A subscriber and how far it is.
pub(super) struct Subscription {
    pub(super) subscriber: Subscriber,
    state: State,
}

/// What has become of a subscription that was sent a portion of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Something is left.
    More,
    /// Nothing is left: it hears messages as they come.
    Live,
    /// The history no longer reaches back.
    Lost(Cause),
    /// It is not behind, or not where the portion begins.
    Nothing,
}

impl Subscription {
    pub(super) fn new(subscriber: Subscriber) -> Self {
        Self {
            subscriber,
            state: State::Joining(Box::new(Held::nothing())),
        }
    }

    /// Delivers a message, or leaves it for later. `last` is the place of the message before it.
    pub(super) fn take(
        &mut self,
        message: &Arc<EncodedMessage>,
        last: Option<Position>,
    ) -> Option<Pushed> {
        match &mut self.state {
            State::Live { seen } if is_seen(*seen, message) => None,
            State::Live { seen } => {
                let pushed = self.subscriber.push(message);
                if pushed == Some(Pushed::Full) {
                    let place = newer(*seen, last);
                    let passed = Passed::UpTo(message.position());
                    self.state = behind_at(place, passed, Cause::Slow);
                }
                pushed
            }
            State::Behind(catch_up) => {
                catch_up.pass(message.position());
                None
            }
            State::Joining(held) => {
                held.hold(message, self.subscriber.outbox.limit_bytes());
                None
            }
        }
    }

    /// Begins to deliver what comes after `start`. With `nothing_past` that is what has come since the subscription was
    /// made; otherwise the history is read from there. Returns whether the subscription is behind.
    pub(super) fn begin(&mut self, start: Position, nothing_past: bool) -> bool {
        let State::Joining(held) = &mut self.state else {
            return self.is_behind();
        };
        let held = std::mem::replace(&mut **held, Held::nothing());
        if held.given_up || !nothing_past {
            self.state = behind_at(start, held.passed, Cause::Resumed);
            return true;
        }
        self.state = State::Live { seen: start };
        let mut last = None;
        for message in held.messages {
            self.take(&message, last);
            last = Some(message.position());
        }
        self.is_behind()
    }

    /// Where the history is to be read from for a subscription that is behind.
    pub(super) fn begin_reading(&mut self) -> Option<Position> {
        match &mut self.state {
            State::Behind(catch_up) => Some(catch_up.begin_reading()),
            State::Joining(_) | State::Live { .. } => None,
        }
    }

    /// Sends what was read after `since`, as far as there is room.
    pub(super) fn send_past(&mut self, since: Position, replay: &Replay) -> Sent {
        let State::Behind(catch_up) = &mut self.state else {
            return Sent::Nothing;
        };
        if catch_up.at() != since {
            return Sent::Nothing;
        }
        if !replay.recovered {
            catch_up.sent(replay.position);
            return Sent::Lost(catch_up.cause());
        }
        for message in &replay.messages {
            if !self.subscriber.outbox.has_room() {
                return Sent::More;
            }
            self.subscriber.push_past(message);
            catch_up.sent(message.position());
        }
        if replay.complete && catch_up.is_over() {
            let seen = catch_up.at();
            self.state = State::Live { seen };
            return Sent::Live;
        }
        Sent::More
    }

    /// Something may be missing among what came.
    pub(super) fn doubt(&mut self) {
        match &mut self.state {
            State::Joining(held) => {
                held.passed = Passed::Unknown;
                held.give_up();
            }
            State::Behind(catch_up) => catch_up.doubt(),
            State::Live { .. } => {}
        }
    }

    /// How far the subscription is, once it has begun; the newest that came is `last`.
    pub(super) fn place(&self, last: Option<Position>) -> Option<Position> {
        match &self.state {
            State::Live { seen } => Some(newer(*seen, last)),
            State::Behind(catch_up) => Some(catch_up.at()),
            State::Joining(_) => None,
        }
    }

    /// Whether it hears messages as they come, and has not got as far as `position` yet.
    pub(super) fn is_live_before(&self, position: Position) -> bool {
        matches!(&self.state, State::Live { seen } if !covers(*seen, position))
    }

    fn is_behind(&self) -> bool {
        matches!(self.state, State::Behind(_))
    }
}

fn behind_at(place: Position, passed: Passed, cause: Cause) -> State {
    State::Behind(Box::new(CatchUp::new(place, passed, cause)))
}

/// The further of two places of a live subscription: where it began, and the newest that came.
fn newer(seen: Position, last: Option<Position>) -> Position {
    let further = |last: &Position| last.epoch != seen.epoch || last.offset > seen.offset;
    last.filter(further).unwrap_or(seen)
}

fn is_seen(seen: Position, message: &EncodedMessage) -> bool {
    covers(seen, message.position())
}

/// Whether everything up to `position` has been seen.
fn covers(seen: Position, position: Position) -> bool {
    position.epoch == seen.epoch && position.offset <= seen.offset
}

/// Where the next message of a channel belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// It is the next.
    Next,
    /// It has been here before.
    Seen,
    /// Something is missing before it.
    Hole,
}

/// Compares a message with the last one that was delivered.
pub(super) fn continuity(last: Option<Position>, message: &EncodedMessage) -> Continuity {
    let Some(last) = last else {
        return Continuity::Next;
    };
    let message = message.message();
    if message.epoch != last.epoch {
        return Continuity::Hole;
    }
    match message.offset {
        offset if offset <= last.offset => Continuity::Seen,
        Offset(offset) if offset == last.offset.0 + 1 => Continuity::Next,
        _ => Continuity::Hole,
    }
}
