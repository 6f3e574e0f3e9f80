//! How an outbox tells its client what is not in the bytes of a message: what is lost, and where the client is.

use std::fmt::Display;

use bytes::Bytes;
use widecast_protocol::framing::{Lost, Wire};
use widecast_protocol::{Code, CursorVector};

use super::item::Item;

/// How a client is told of lost messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapForm {
    /// In the stream, as its wire tells it.
    Told,
    /// By the end of the stream: its wire has no room for anything but data.
    Ends,
    /// By whoever takes the bytes, who finds the outbox closed.
    Closes,
}

/// Which cursors a client is given with its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursors {
    /// That of each message, or none: it is in the message's bytes.
    OfEach,
    /// The same, and where the client is, for the answer of a poll.
    OfAnswers,
    /// One of all channels, before the rest of the message.
    OfAll,
}

/// What a session's outbox says besides what is pushed into it.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    /// What the bytes look like.
    pub wire: Wire,
    /// What is said of lost messages.
    pub gap: GapForm,
    /// What is said of the client's place.
    pub cursors: Cursors,
}

impl Voice {
    pub(super) fn can_tell_gaps(self) -> bool {
        self.gap == GapForm::Told
    }

    /// The last bytes for a client that cannot be told of a gap.
    pub(super) fn end_of_gap(self) -> Bytes {
        let code = Code::HistoryLost;
        self.wire.end(code, code.meaning(), None)
    }

    pub(super) fn keeps_places(self) -> bool {
        self.cursors != Cursors::OfEach
    }

    /// Whether every message has a cursor of all channels.
    pub(super) fn has_vector(self) -> bool {
        self.cursors == Cursors::OfAll
    }

    /// Whether something is made when the item is written, that stands before its bytes or is all of it.
    pub(super) fn has_head(self, item: &Item) -> bool {
        match item {
            Item::Gap { .. } => true,
            Item::Message { .. } => self.has_vector(),
            Item::Frame(_) | Item::Answer(_) | Item::Pong(_) | Item::Gone => false,
        }
    }

    /// That, where the client is at `at` once it has it.
    pub(super) fn head(self, item: &Item, at: &CursorVector) -> Option<Bytes> {
        match item {
            Item::Gap {
                channel, cursor, ..
            } => {
                let cursors: &dyn Display = if self.has_vector() { at } else { cursor };
                let lost = Lost {
                    channel,
                    position: *cursor,
                    cursor: cursors,
                };
                let told = self.wire.gap(lost).filter(|_| self.can_tell_gaps());
                Some(told.unwrap_or_default())
            }
            Item::Message { .. } if self.has_vector() => Some(self.wire.head(at).into()),
            Item::Message { .. }
            | Item::Frame(_)
            | Item::Answer(_)
            | Item::Pong(_)
            | Item::Gone => None,
        }
    }

    /// The item's head, out of those that were made for several items in their order.
    pub(super) fn next_head(self, item: &Item, heads: &mut impl Iterator<Item = Bytes>) -> Bytes {
        let head = self.has_head(item).then(|| heads.next()).flatten();
        head.unwrap_or_default()
    }
}
