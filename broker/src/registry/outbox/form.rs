//! How an outbox tells its client of lost messages and of cursors, which are not in the bytes of a message.

use std::fmt::Display;

use bytes::Bytes;
use widecast_protocol::framing::{Gap, Wire};
use widecast_protocol::{Code, CursorVector};

use super::item::Item;

/// How a client is told of lost messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapForm {
    /// In the stream, as its wire tells it.
    Told,
    /// By the end of the stream: its wire has no room for anything but data.
    Ends,
    /// Beside the messages: the poll that takes them asks [`Outbox::has_lost`](super::Outbox::has_lost), and tells the client. The
    /// client's place moves past the gap.
    Noted,
}

/// Which cursors a client is given with its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorForm {
    /// Each message has its own cursor in its bytes, or none.
    OfEach,
    /// As `OfEach`; in addition the answer to a poll has the client's place.
    OfAnswers,
    /// One cursor for all channels, written before the rest of the message.
    OfAll,
}

/// How a session's outbox tells of gaps and cursors, besides the bytes that are pushed into it.
#[derive(Debug, Clone, Copy)]
pub struct OutboxForm {
    /// The wire form of the bytes.
    pub wire: Wire,
    /// How the client is told of lost messages.
    pub gap: GapForm,
    /// Which cursors the client is given.
    pub cursors: CursorForm,
}

impl OutboxForm {
    pub(in crate::registry) fn can_tell_gaps(self) -> bool {
        self.gap == GapForm::Told
    }

    /// The last bytes for a client that cannot be told of a gap.
    pub(in crate::registry) fn end_of_gap(self) -> Bytes {
        let code = Code::HistoryLost;
        self.wire.end(code, code.meaning(), None)
    }

    pub(in crate::registry) fn keeps_places(self) -> bool {
        self.cursors != CursorForm::OfEach
    }

    /// Whether the client is told its place behind its own messages.
    pub(in crate::registry) fn tells_places(self) -> bool {
        self.keeps_places() || self.wire.tells_places()
    }

    /// What tells the client that it is at `at`, and nothing else.
    pub(in crate::registry) fn place(self, at: &CursorVector) -> Option<Bytes> {
        if self.has_vector() {
            self.wire.place(at)
        } else {
            self.wire.place(&at.first()?)
        }
    }

    /// Whether every message has a cursor of all channels.
    pub(in crate::registry) fn has_vector(self) -> bool {
        self.cursors == CursorForm::OfAll
    }

    /// Whether something is made when the item is written, that stands before its bytes or is all of it.
    pub(in crate::registry) fn has_head(self, item: &Item) -> bool {
        match item {
            Item::Gap { .. } => true,
            Item::Message { .. } => self.has_vector(),
            Item::Frame(_) | Item::Answer(_) | Item::Pong(_) | Item::Gone => false,
        }
    }

    /// Makes the head of the item; the client is at `at` once it has the item.
    pub(in crate::registry) fn head(self, item: &Item, at: &CursorVector) -> Option<Bytes> {
        match item {
            Item::Gap {
                channel, cursor, ..
            } => {
                let cursors: &dyn Display = if self.has_vector() { at } else { cursor };
                let gap = Gap {
                    channel,
                    position: *cursor,
                    cursor: cursors,
                };
                let told = self.wire.gap(gap).filter(|_| self.can_tell_gaps());
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
    pub(in crate::registry) fn next_head(
        self,
        item: &Item,
        heads: &mut impl Iterator<Item = Bytes>,
    ) -> Bytes {
        let head = self.has_head(item).then(|| heads.next()).flatten();
        head.unwrap_or_default()
    }
}
