//! How an outbox tells its client what is not in the bytes of a message: what is lost, and where the client is.

use bytes::{BufMut, Bytes, BytesMut};
use widecast_protocol::{ChannelName, CursorVector, Position};

use super::item::Item;

/// How a client is told of lost messages.
#[derive(Clone, Copy)]
pub enum GapForm {
    /// By these bytes in the stream: of which channel and up to which place, and, with [`Cursors::OfAll`], the cursor
    /// that the client then has.
    Told(fn(&ChannelName, Position, &CursorVector) -> Bytes),
    /// By the end of the stream, with these last bytes: the form has no room for anything but data.
    Ends(fn() -> Bytes),
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
    /// One of all channels, behind these bytes and before the rest of the message.
    OfAll(&'static str),
}

/// What a session's outbox says besides what is pushed into it.
#[derive(Clone, Copy)]
pub struct Voice {
    /// What is said of lost messages.
    pub gap: GapForm,
    /// What is said of the client's place.
    pub cursors: Cursors,
}

impl Voice {
    pub(super) fn can_tell_gaps(&self) -> bool {
        matches!(self.gap, GapForm::Told(_))
    }

    pub(super) fn keeps_places(&self) -> bool {
        self.cursors != Cursors::OfEach
    }

    /// Whether every message has a cursor of all channels.
    pub(super) fn has_vector(&self) -> bool {
        matches!(self.cursors, Cursors::OfAll(_))
    }

    /// Whether something is made when the item is written, that stands before its bytes or is all of it.
    pub(super) fn has_head(&self, item: &Item) -> bool {
        match item {
            Item::Gap { .. } => true,
            Item::Message { .. } => self.has_vector(),
            Item::Frame(_) | Item::Answer(_) | Item::Pong(_) | Item::Gone => false,
        }
    }

    /// That, where the client is at `at` once it has it.
    pub(super) fn head(&self, item: &Item, at: &CursorVector) -> Option<Bytes> {
        match (item, self.cursors) {
            (
                Item::Gap {
                    channel, cursor, ..
                },
                _,
            ) => Some(match self.gap {
                GapForm::Told(form) => form(channel, *cursor, at),
                GapForm::Ends(_) | GapForm::Closes => Bytes::new(),
            }),
            (Item::Message { .. }, Cursors::OfAll(before)) => {
                let cursor = at.to_string();
                let mut head = BytesMut::with_capacity(before.len() + cursor.len());
                head.put_slice(before.as_bytes());
                head.put_slice(cursor.as_bytes());
                Some(head.freeze())
            }
            _ => None,
        }
    }

    /// The item's head, out of those that were made for several items in their order.
    pub(super) fn next_head(&self, item: &Item, heads: &mut impl Iterator<Item = Bytes>) -> Bytes {
        let head = self.has_head(item).then(|| heads.next()).flatten();
        head.unwrap_or_default()
    }
}
