//! The `message` frame.

use super::notation::{Notation, Object};
use crate::message::Message;

/// Writes the frame of a message; `data` writes its payload.
pub(crate) fn write_message<N: Notation>(
    out: &mut Vec<u8>,
    message: &Message,
    data: impl FnOnce(&mut Vec<u8>),
) {
    Object::<N>::frame(out, "message")
        .text("channel", message.channel.as_str())
        .field("data", data)
        .optional(message.event.as_ref(), |frame, event| {
            frame.text("event", event.as_str())
        })
        .optional(message.id.as_ref(), |frame, id| {
            frame.text("message_id", id.as_str())
        })
        .text("origin", message.origin.as_str())
        .number("offset", message.offset.0)
        .shown("epoch", message.epoch)
        .number("timestamp", message.timestamp_ms)
        .end();
}
