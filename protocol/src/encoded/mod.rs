//! A message with its bytes for every wire, each made at most once for all who receive it at the same time.
//!
//! Making a form is the one place in the delivery path that writes a payload: an envelope around the payload's own bytes, in
//! one allocation. The payload is transcoded or inflated at most once for all of a message's [`Forms`], since it lacks at most one of
//! the two codecs. Nothing in here depends on the receiver, except that sessions of several channels put a cursor of their own before
//! [`Forms::after_cursor`].
//!
//! A form is there for as long as somebody has yet to be sent it, and no longer: a message in a history is its payload alone.

mod forms;
mod largest;

use bytes::Bytes;

use crate::codec::Codec;
use crate::cursor::Position;
use crate::framing::{Content, Framing, Wire};
use crate::held::HeldForms;
use crate::message::Message;
use crate::payload::PayloadKind;

pub use forms::Forms;

/// A message, and where its wire forms are found that somebody has.
#[derive(Debug)]
pub struct EncodedMessage {
    message: Message,
    held: HeldForms<{ Wire::ALL.len() }>,
}

impl EncodedMessage {
    /// A message, none of whose forms has been made.
    pub const fn new(message: Message) -> Self {
        Self {
            message,
            held: HeldForms::new(),
        }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The place of a reader who has seen this message.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.message.epoch,
            offset: self.message.offset,
        }
    }

    /// The forms, for somebody who needs several of them, or one of them often.
    pub fn forms(&self) -> Forms<'_> {
        Forms::of(self)
    }

    /// The complete bytes on a wire.
    pub fn bytes(&self, wire: Wire) -> Bytes {
        self.forms().bytes(wire)
    }

    /// Whether the form of a wire is more than a copy of the data with something around it: then a large message takes long to be made
    /// into it.
    pub fn is_rewritten_on(&self, wire: Wire) -> bool {
        let is_event = wire.framing() == Framing::Sse;
        match (self.message.payload.kind(), wire.content()) {
            (PayloadKind::Json, content) => content == Content::Frame(Codec::MessagePack),
            (_, Content::Frame(Codec::MessagePack)) => false,
            (PayloadKind::MessagePack | PayloadKind::Gzip, _) => true,
            (PayloadKind::Text, content) => is_event || content != Content::Data,
            (PayloadKind::Binary, content) => {
                is_event || !matches!(content, Content::Data | Content::Value)
            }
        }
    }

    /// About how much memory the message takes in whatever form is asked for: what a history counts, and what is on its way.
    pub fn weight_bytes(&self) -> usize {
        let message = &self.message;
        let event = message
            .event
            .as_ref()
            .map_or(0, |event| event.as_str().len());
        size_of::<Self>()
            + message.payload.weight_bytes()
            + message.channel.as_str().len()
            + message.origin.as_str().len()
            + event
            + message.id.as_ref().map_or(0, |id| id.as_str().len())
    }
}

#[cfg(test)]
mod tests;
