//! The wires that carry envelope frames.

use bytes::Bytes;

use super::websocket::Opcode;
use super::{ndjson, prefix, sse, websocket};
use crate::codec::{Codec, write_reply};
use crate::encoded::WireForm;
use crate::reply::Reply;

/// A codec and a framing: how a session's frames look on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A WebSocket text frame with JSON.
    JsonWebSocket,
    /// A WebSocket binary frame with MessagePack.
    MessagePackWebSocket,
    /// An event of an event stream with JSON.
    JsonSse,
    /// A line of JSON.
    JsonNdjson,
    /// A length of 4 bytes, then MessagePack.
    MessagePackStream,
}

impl Wire {
    /// The codec of the frames.
    pub fn codec(self) -> Codec {
        match self {
            Self::JsonWebSocket | Self::JsonSse | Self::JsonNdjson => Codec::Json,
            Self::MessagePackWebSocket | Self::MessagePackStream => Codec::MessagePack,
        }
    }

    /// The form in which messages go over this wire.
    pub fn message_form(self) -> WireForm {
        match self {
            Self::JsonWebSocket => WireForm::JsonWebSocket,
            Self::MessagePackWebSocket => WireForm::MessagePackWebSocket,
            Self::JsonSse => WireForm::JsonSse,
            Self::JsonNdjson => WireForm::JsonNdjson,
            Self::MessagePackStream => WireForm::MessagePackStream,
        }
    }

    /// The complete bytes of a reply.
    pub fn encode(self, reply: &Reply) -> Bytes {
        self.frame(TYPICAL_REPLY_BYTES, |out| {
            write_reply(self.codec(), out, reply);
        })
    }

    /// The bytes that show a silent connection to be alive. A WebSocket's is a ping, which the client answers.
    pub fn heartbeat(self) -> Bytes {
        match self {
            Self::JsonWebSocket | Self::MessagePackWebSocket => websocket::ping(b""),
            Self::JsonSse => sse::heartbeat(),
            Self::JsonNdjson => ndjson::heartbeat(),
            Self::MessagePackStream => prefix::stream(0, |_| {}),
        }
    }

    /// The complete bytes of the frame that `write` appends, about `capacity` bytes.
    pub(crate) fn frame(self, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        match self {
            Self::JsonWebSocket => prefix::websocket(Opcode::Text, capacity, write),
            Self::MessagePackWebSocket => prefix::websocket(Opcode::Binary, capacity, write),
            Self::JsonSse => sse::frame(capacity, write),
            Self::JsonNdjson => ndjson::line(capacity, write),
            Self::MessagePackStream => prefix::stream(capacity, write),
        }
    }
}

/// Most replies are shorter.
const TYPICAL_REPLY_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    const WIRES: [Wire; 5] = [
        Wire::JsonWebSocket,
        Wire::MessagePackWebSocket,
        Wire::JsonSse,
        Wire::JsonNdjson,
        Wire::MessagePackStream,
    ];

    #[test]
    fn a_reply_on_each_wire() {
        let line = |wire: Wire| {
            let bytes = wire.encode(&Reply::Pong { id: None });
            format!("{wire:?} {}", bytes.escape_ascii())
        };
        insta::assert_snapshot!(WIRES.map(line).join("\n"), @r#"
        JsonWebSocket \x81\x0f{\"type\":\"pong\"}
        MessagePackWebSocket \x82\x0b\x81\xa4type\xa4pong
        JsonSse data: {\"type\":\"pong\"}\n\n
        JsonNdjson {\"type\":\"pong\"}\n
        MessagePackStream \x00\x00\x00\x0b\x81\xa4type\xa4pong
        "#);
    }

    #[test]
    fn a_heartbeat_on_each_wire() {
        let line = |wire: Wire| format!("{wire:?} {}", wire.heartbeat().escape_ascii());
        insta::assert_snapshot!(WIRES.map(line).join("\n"), @r"
        JsonWebSocket \x89\x00
        MessagePackWebSocket \x89\x00
        JsonSse :\n\n
        JsonNdjson \n
        MessagePackStream \x00\x00\x00\x00
        ");
    }

    #[test]
    fn a_long_reply_has_a_long_header() {
        for (length, header) in [(200, &b"\x81\x7e"[..]), (100_000, b"\x81\x7f")] {
            let reason = "x".repeat(length);
            let bytes = Wire::JsonWebSocket.encode(&Reply::AuthRequired { reason });
            assert_eq!(&bytes[..2], header);
            assert!(bytes.ends_with(b"x\"}"));
        }
    }
}
