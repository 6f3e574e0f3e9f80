//! One session's part in one channel.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, EncodedMessage, Offset, Position, SenderKey, WireForm};

use crate::config::SlowConsumer;

use super::item::Lane;
use super::outbox::{Outbox, Pushed};

/// Who hears of joins and leaves, and how.
pub struct PresenceWatch {
    /// The session's frames.
    pub wire: Wire,
    /// The member the session itself is, whose coming and going it is not told.
    pub own_id: String,
}

/// A session as a channel sees it.
pub struct Subscriber {
    /// Where its bytes go.
    pub outbox: Rc<Outbox>,
    /// Messages with this key are not delivered; `None` for a session that hears its own.
    pub sender: Option<SenderKey>,
    /// What its messages look like.
    pub form: WireForm,
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

    /// Pushes a message of the history, unless it is the subscriber's own.
    pub(super) fn push_past(&self, message: &Arc<EncodedMessage>) -> Option<Pushed> {
        let bytes = self.bytes(message)?;
        Some(self.outbox.push_past(bytes, message, self.lane))
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
        Some(if self.outbox.voice().has_vector() {
            message.after_cursor(self.form)
        } else {
            message.bytes(self.form)
        })
    }
}

/// Messages that came while the history was still being sent.
#[derive(Default)]
pub(super) struct Held {
    messages: Vec<Arc<EncodedMessage>>,
    bytes: usize,
    /// More came than may be held: the history has to be read again.
    overflowed: bool,
}

impl Held {
    fn hold(&mut self, message: &Arc<EncodedMessage>, limit_bytes: usize) {
        self.bytes += message.weight_bytes();
        if self.overflowed || self.bytes > limit_bytes {
            self.overflow();
        } else {
            self.messages.push(Arc::clone(message));
        }
    }

    fn overflow(&mut self) {
        self.overflowed = true;
        self.messages = Vec::new();
    }
}

enum State {
    /// Hears messages as they come, but nothing up to `seen` again.
    Live { seen: Position },
    /// Hears them after the history.
    Holding(Box<Held>),
}

/// A subscriber and how far it is.
pub(super) struct Subscription {
    pub(super) subscriber: Subscriber,
    state: State,
}

/// Whether a subscription hears messages as they come.
pub enum CatchUp {
    /// It does from now on.
    Live,
    /// These came meanwhile, and are to be sent like the history before them.
    More(Vec<Arc<EncodedMessage>>),
    /// More came meanwhile than could be held: read the history on from where it was read to.
    Behind,
}

impl Subscription {
    pub(super) fn new(subscriber: Subscriber) -> Self {
        Self {
            subscriber,
            state: State::Holding(Box::default()),
        }
    }

    /// Delivers or holds a message.
    pub(super) fn take(
        &mut self,
        message: &Arc<EncodedMessage>,
        hold_bytes: usize,
    ) -> Option<Pushed> {
        match &mut self.state {
            State::Live { seen } if is_seen(*seen, message) => None,
            State::Live { .. } => self.subscriber.push(message),
            State::Holding(held) => {
                held.hold(message, hold_bytes);
                None
            }
        }
    }

    /// Ends the holding: everything up to `seen` has been sent from the history.
    pub(super) fn go_live(&mut self, seen: Position) -> CatchUp {
        let State::Holding(held) = &mut self.state else {
            return CatchUp::Live;
        };
        if held.overflowed {
            **held = Held::default();
            return CatchUp::Behind;
        }
        let mut more = std::mem::take(&mut **held).messages;
        more.retain(|message| !is_seen(seen, message));
        if more.is_empty() {
            self.state = State::Live { seen };
            return CatchUp::Live;
        }
        CatchUp::More(more)
    }

    /// Something may be missing among what came: whoever is holding reads the history again.
    pub(super) fn doubt(&mut self) {
        if let State::Holding(held) = &mut self.state {
            held.overflow();
        }
    }

    /// How far the subscription is, once it hears messages as they come and the newest that came is `last`.
    pub(super) fn place(&self, last: Option<Position>) -> Option<Position> {
        let State::Live { seen } = &self.state else {
            return None;
        };
        let further = |last: &Position| last.epoch != seen.epoch || last.offset > seen.offset;
        Some(last.filter(further).unwrap_or(*seen))
    }

    /// Whether it hears messages as they come, and has not got as far as `position` yet.
    pub(super) fn is_live_before(&self, position: Position) -> bool {
        matches!(&self.state, State::Live { seen } if !covers(*seen, position))
    }
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
