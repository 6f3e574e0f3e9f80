//! How far a subscription is, and what becomes of the messages that come: the decisions alone. [`super::subscription`] pushes the
//! messages, [`super::catch_up_reader`] reads the history.
//!
//! A subscription begins as *joining*: it is not known yet where it begins, and what comes is held. Then it is *behind*, and reads the
//! history, or *live*, and hears what comes. It falls behind again when its outbox is full.

use std::sync::Arc;

use widecast_protocol::{EncodedMessage, Position};

use super::catch_up::{CatchUp, Cause, Passed};
use super::hole::{Continuity, continuity};

/// Messages that came before it was known where the subscription begins.
pub(super) struct HeldMessages {
    messages: Vec<Arc<EncodedMessage>>,
    bytes: usize,
    /// How far messages have come; `messages` has all of them, unless they were given up.
    passed: Passed,
    /// The messages were given up, because there were more than may be held, or one may be missing: the history has to be
    /// read.
    given_up: bool,
}

impl HeldMessages {
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

    /// Whether all messages between two places have come.
    fn reach(&self, from: Position, to: Option<Position>) -> bool {
        let mut reached = from;
        for message in &self.messages {
            match continuity(Some(reached), message) {
                Continuity::Next => reached = message.position(),
                Continuity::Seen => {}
                Continuity::Hole => return false,
            }
        }
        to.is_none_or(|to| covers(reached, to))
    }
}

/// How far a subscription is.
pub(super) enum Progress {
    /// It is not yet known where the subscription begins.
    Joining(Box<HeldMessages>),
    /// The messages that the client has yet to hear are in the history.
    Behind(Box<CatchUp>),
    /// The client hears messages as they come, but nothing up to `seen` again.
    Live { seen: Position },
}

/// What the loss of messages means for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It does not need them, or finds out when it reads the history.
    Nothing,
    /// It has to be told.
    Told,
    /// What it needs may still be in the history, and it is behind now.
    InHistory,
}

impl Progress {
    /// The progress of a subscription that has just been made.
    pub(super) fn new() -> Self {
        Self::Joining(Box::new(HeldMessages::nothing()))
    }

    /// A message has come. Returns whether the client is to be sent it now: otherwise the client has it, or it is held in at most
    /// `limit_bytes`, or it will be read from the history.
    pub(super) fn is_for_now(&mut self, message: &Arc<EncodedMessage>, limit_bytes: usize) -> bool {
        match self {
            Self::Live { seen } => !covers(*seen, message.position()),
            Self::Behind(catch_up) => {
                catch_up.pass(message.position());
                false
            }
            Self::Joining(held) => {
                held.hold(message, limit_bytes);
                false
            }
        }
    }

    /// A message that was for now did not fit into the outbox. `last` is the place of the message before it.
    pub(super) fn overrun(&mut self, message: Position, last: Option<Position>) {
        if let Self::Live { seen } = self {
            let place = newer(*seen, last);
            *self = Self::behind(place, Passed::UpTo(message), Cause::Slow);
        }
    }

    /// The subscription begins after `start`; the newest message that the shard has delivered is `last`. The subscription is behind
    /// if something had been published after `start`, or if not all of what has been published since is held: the shard passes over
    /// what it has delivered before, also when this subscription has not heard it. Returns the messages that were held and are to
    /// be delivered now; nothing when the subscription has begun before.
    pub(super) fn begin(
        &mut self,
        start: Position,
        nothing_past: bool,
        last: Option<Position>,
    ) -> Vec<Arc<EncodedMessage>> {
        let Self::Joining(held) = self else {
            return Vec::new();
        };
        let held = std::mem::replace(&mut **held, HeldMessages::nothing());
        if held.given_up || !nothing_past || !held.reach(start, last) {
            *self = Self::behind(start, held.passed, Cause::Resumed);
            return Vec::new();
        }
        *self = Self::Live { seen: start };
        held.messages
    }

    fn behind(at: Position, passed: Passed, cause: Cause) -> Self {
        Self::Behind(Box::new(CatchUp::new(at, passed, cause)))
    }

    /// Whether the subscription reads the history.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self, Self::Behind(_))
    }

    /// The history is read from now on. Returns after which place, or nothing when the subscription is not behind.
    pub(super) fn begin_reading(&mut self) -> Option<Position> {
        match self {
            Self::Behind(catch_up) => Some(catch_up.begin_reading()),
            Self::Joining(_) | Self::Live { .. } => None,
        }
    }

    /// How far a subscription has got that is behind, if everything up to `since` and nothing after it has been sent.
    pub(super) fn catch_up_at(&mut self, since: Position) -> Option<&mut CatchUp> {
        match self {
            Self::Behind(catch_up) if catch_up.at() == since => Some(catch_up),
            Self::Behind(_) | Self::Joining(_) | Self::Live { .. } => None,
        }
    }

    /// Everything that was read has been sent, to the history's end. Returns whether the subscription is live now: it still is not
    /// when something newer has come meanwhile, or has been delivered to others, up to `last`.
    pub(super) fn reached_end(&mut self, last: Option<Position>) -> bool {
        let Self::Behind(catch_up) = self else {
            return false;
        };
        let at = catch_up.at();
        // If the epochs differ, `last` is the older one: had a newer epoch begun, the history would have reported a loss.
        let is_ahead = |last: Position| last.epoch == at.epoch && last.offset > at.offset;
        let is_over = catch_up.is_over() && !last.is_some_and(is_ahead);
        if is_over {
            *self = Self::Live { seen: at };
        }
        is_over
    }

    /// Something may be missing among what came.
    pub(super) fn suspect_gap(&mut self) {
        match self {
            Self::Joining(held) => {
                held.passed = Passed::Unknown;
                held.give_up();
            }
            Self::Behind(catch_up) => catch_up.suspect_gap(),
            Self::Live { .. } => {}
        }
    }

    /// How far the client is, once the subscription has begun; the newest message that came is `last`.
    pub(super) fn place(&self, last: Option<Position>) -> Option<Position> {
        match self {
            Self::Live { seen } => Some(newer(*seen, last)),
            Self::Behind(catch_up) => Some(catch_up.at()),
            Self::Joining(_) => None,
        }
    }

    /// The history does not reach back to `last`, the newest that came, but it ends at `upto`. Whoever began later, while nothing was
    /// delivered, may need less of it than the others: it reads that.
    pub(super) fn lose(&mut self, last: Option<Position>, upto: Position) -> Loss {
        let Self::Live { seen } = *self else {
            return Loss::Nothing;
        };
        if covers(seen, upto) {
            return Loss::Nothing;
        }
        let began_later = !last.is_some_and(|last| covers(last, seen));
        if seen.epoch == upto.epoch && began_later {
            *self = Self::behind(seen, Passed::UpTo(upto), Cause::Resumed);
            return Loss::InHistory;
        }
        Loss::Told
    }
}

/// The further of two places of a live subscription: where it began, and the newest that came.
fn newer(seen: Position, last: Option<Position>) -> Position {
    let further = |last: &Position| last.epoch != seen.epoch || last.offset > seen.offset;
    last.filter(further).unwrap_or(seen)
}

/// Whether everything up to `position` has been seen.
fn covers(seen: Position, position: Position) -> bool {
    position.epoch == seen.epoch && position.offset <= seen.offset
}
