//! The one table of wires: what is said, and how it is told apart on a connection.
//!
//! A new framing is a variant of [`Framing`], its arms below, and its rows of the table; everything above asks a [`Wire`] for what
//! it needs.

use std::fmt::Display;

use bytes::Bytes;

use super::websocket::Opcode;
use super::{ndjson, prefix, sse, websocket};
use crate::codec::notation::{Json, Object};
use crate::codec::{Codec, write_reply};
use crate::codes::Code;
use crate::cursor::Position;
use crate::name::ChannelName;
use crate::reply::Reply;

/// The form in which a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The data: bytes as bytes where the framing has a way, a string as itself, anything else as JSON.
    Data,
    /// The data: bytes as bytes, anything else as JSON. Everything else (answers, gaps) comes as frames.
    Value,
    /// An object `{"cursor","channel","offset","event","origin","timestamp","data"}`, which is also an item of a poll.
    Object,
    /// A `message` frame.
    Frame(Codec),
}

/// How one thing is told from the next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A WebSocket message each: binary for MessagePack and bytes, else text.
    WebSocket,
    /// An event of an event stream each.
    Sse,
    /// A line each.
    Lines,
    /// A length of 4 bytes before each.
    Prefixed,
}

macro_rules! wires {
    ($( $(#[doc = $doc:literal])+ $wire:ident = $content:expr, $framing:ident; )+) => {
        /// A content and a framing: how a session's bytes look on its connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Wire { $( $(#[doc = $doc])+ $wire, )+ }

        impl Wire {
            /// Every wire.
            pub const ALL: &'static [Self] = &[ $( Self::$wire, )+ ];

            /// The form in which messages are shown.
            pub const fn content(self) -> Content {
                match self { $( Self::$wire => $content, )+ }
            }

            /// The framing.
            pub const fn framing(self) -> Framing {
                match self { $( Self::$wire => Framing::$framing, )+ }
            }
        }
    };
}

wires! {
    /// The bare data in WebSocket messages.
    RawWebSocket = Content::Data, WebSocket;
    /// The data as JSON in WebSocket messages.
    ValueWebSocket = Content::Value, WebSocket;
    /// Message objects in WebSocket messages.
    ObjectWebSocket = Content::Object, WebSocket;
    /// Frames in JSON in WebSocket messages.
    JsonWebSocket = Content::Frame(Codec::Json), WebSocket;
    /// Frames in MessagePack in WebSocket messages.
    MessagePackWebSocket = Content::Frame(Codec::MessagePack), WebSocket;
    /// The bare data in events, with the cursor as their id.
    RawSse = Content::Data, Sse;
    /// Message objects in events, with the cursor as their id.
    ObjectSse = Content::Object, Sse;
    /// Frames in JSON in events.
    JsonSse = Content::Frame(Codec::Json), Sse;
    /// Message objects, one a line.
    RawNdjson = Content::Object, Lines;
    /// Frames in JSON, one a line.
    JsonNdjson = Content::Frame(Codec::Json), Lines;
    /// Frames in MessagePack, each behind its length.
    MessagePackStream = Content::Frame(Codec::MessagePack), Prefixed;
}

/// The messages of a channel that a client will not hear, and where it is behind them.
#[derive(Clone, Copy)]
pub struct Gap<'a> {
    /// The channel that lost the messages.
    pub channel: &'a ChannelName,
    /// The place of the last message that was lost.
    pub position: Position,
    /// The cursor that the reader goes on from: of this channel, or of several.
    pub cursor: &'a dyn Display,
}

impl Wire {
    /// The codec of what is said.
    pub const fn codec(self) -> Codec {
        match self.content() {
            Content::Frame(codec) => codec,
            Content::Data | Content::Value | Content::Object => Codec::Json,
        }
    }

    /// The wire for frames that are no messages, if the client can be sent any: frames stand beside values and objects in the
    /// messages of a WebSocket, which its client sends as well. One-way streams without frames tell no more than gaps and why they end.
    pub const fn frames(self) -> Option<Self> {
        match (self.content(), self.framing()) {
            (Content::Frame(_), _) => Some(self),
            (Content::Value | Content::Object, Framing::WebSocket) => Some(Self::JsonWebSocket),
            _ => None,
        }
    }

    /// The complete bytes of a reply.
    pub fn encode(self, reply: &Reply) -> Bytes {
        self.frame(TYPICAL_REPLY_BYTES, |out| {
            write_reply(self.codec(), out, reply);
        })
    }

    /// The bytes of a reply that tells why the connection ends; `None` where there is no room for anything but data, so that a close frame or
    /// nothing tells it.
    pub fn goodbye(self, reply: &Reply) -> Option<Bytes> {
        if let Some(frames) = self.frames() {
            return Some(frames.encode(reply));
        }
        match (self.content(), self.framing()) {
            (Content::Data, Framing::Sse) => Some(sse::goodbye(TYPICAL_REPLY_BYTES, |out| {
                write_reply(self.codec(), out, reply);
            })),
            (Content::Object, _) => Some(self.encode(reply)),
            _ => None,
        }
    }

    /// The bytes that show a silent connection to be alive. A WebSocket's is a ping, which the client answers.
    pub fn heartbeat(self) -> Bytes {
        match self.framing() {
            Framing::WebSocket => websocket::ping(b""),
            Framing::Sse => sse::heartbeat(),
            Framing::Lines => ndjson::heartbeat(),
            Framing::Prefixed => prefix::stream(0, |_| {}),
        }
    }

    /// The last bytes of a connection that ends because of `code`: a close frame, or how long an `EventSource` waits before it comes
    /// back. Empty where the end of the connection says it all.
    pub fn end(self, code: Code, reason: &str, reconnect_after_ms: Option<u64>) -> Bytes {
        match self.framing() {
            Framing::WebSocket => websocket::close(code.close_code(), reason),
            Framing::Sse => reconnect_after_ms.map_or_else(Bytes::new, sse::retry),
            Framing::Lines | Framing::Prefixed => Bytes::new(),
        }
    }

    /// What tells the reader that messages are lost; `None` where there is no room for anything but data.
    pub fn gap(self, gap: Gap<'_>) -> Option<Bytes> {
        let Gap {
            channel,
            position: cursor,
            ..
        } = gap;
        Some(match (self.content(), self.framing()) {
            (Content::Data, Framing::Sse) => sse::gap(channel, gap.cursor),
            (Content::Data, _) => return None,
            (Content::Object, Framing::Sse) => {
                sse::object(GAP_CAPACITY, gap.cursor, |out| write_gap(out, gap))
            }
            (Content::Object, _) => self.frame(GAP_CAPACITY, |out| write_gap(out, gap)),
            (Content::Value | Content::Frame(_), _) => {
                let channel = channel.clone();
                self.encode(&Reply::Gap { channel, cursor })
            }
        })
    }

    /// What tells the reader its cursor and nothing else; `None` where messages have no cursor beside them.
    pub fn place(self, cursor: &dyn Display) -> Option<Bytes> {
        if !self.tells_places() {
            return None;
        }
        Some(match self.framing() {
            Framing::Sse => sse::id(cursor),
            Framing::WebSocket | Framing::Lines | Framing::Prefixed => {
                self.frame(PLACE_CAPACITY, |out| {
                    Object::<Json>::frame(out, "cursor")
                        .shown("cursor", cursor)
                        .end();
                })
            }
        })
    }

    /// Whether the reader can be told its cursor without a message: where a message has one beside it that is not of its data.
    pub const fn tells_places(self) -> bool {
        matches!(
            (self.content(), self.framing()),
            (Content::Data, Framing::Sse) | (Content::Object, _)
        )
    }

    /// Whether the reader can be told of a gap.
    pub const fn tells_gaps(self) -> bool {
        !matches!(
            (self.content(), self.framing()),
            (
                Content::Data,
                Framing::WebSocket | Framing::Lines | Framing::Prefixed
            )
        )
    }

    /// The beginning of a message up to its cursor, where that may be another than the message's own. A WebSocket message
    /// has its length before it.
    pub fn head(self, cursor: impl Display) -> String {
        match (self.content(), self.framing()) {
            (Content::Data, Framing::Sse) => format!("id: {cursor}"),
            (Content::Object, Framing::Sse) => {
                format!("id: {cursor}\ndata: {{\"cursor\":\"{cursor}")
            }
            (Content::Object, Framing::Lines) => format!("{{\"cursor\":\"{cursor}"),
            _ => String::new(),
        }
    }

    /// The bytes of one frame without those that part it from the next, for framings that begin or end each frame in the
    /// same way.
    pub(super) fn unframed(self, framed: &[u8]) -> &[u8] {
        match self.framing() {
            Framing::Lines => framed.strip_suffix(b"\n").unwrap_or(framed),
            Framing::Prefixed => framed.get(prefix::STREAM_ROOM..).unwrap_or_default(),
            Framing::WebSocket | Framing::Sse => framed,
        }
    }

    /// The complete bytes of what `write` appends, about `capacity` bytes.
    pub(crate) fn frame(self, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        match (self.framing(), self.codec()) {
            (Framing::WebSocket, Codec::Json) => prefix::websocket(Opcode::Text, capacity, write),
            (Framing::WebSocket, Codec::MessagePack) => {
                prefix::websocket(Opcode::Binary, capacity, write)
            }
            (Framing::Sse, _) => sse::frame(capacity, write),
            (Framing::Lines, _) => ndjson::line(capacity, write),
            (Framing::Prefixed, _) => prefix::stream(capacity, write),
        }
    }
}

/// Most replies are shorter.
const TYPICAL_REPLY_BYTES: usize = 160;

/// Room for the names and a cursor of one channel.
pub(super) const GAP_CAPACITY: usize = 192;

/// Room for a cursor of one channel.
const PLACE_CAPACITY: usize = 64;

/// Writes a gap as an object among message objects.
fn write_gap(out: &mut Vec<u8>, gap: Gap<'_>) {
    Object::<Json>::frame(out, "gap")
        .text("channel", gap.channel.as_str())
        .boolean("recovered", false)
        .shown("cursor", gap.cursor)
        .end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: impl Fn(Wire) -> Option<Bytes>) -> String {
        let line = |wire: &Wire| Some(format!("{wire:?} {}", bytes(*wire)?.escape_ascii()));
        let lines: Vec<_> = Wire::ALL.iter().filter_map(line).collect();
        lines.join("\n")
    }

    #[test]
    fn a_reply_on_each_wire_that_has_frames() {
        let reply = |wire: Wire| Some(wire.frames()?.encode(&Reply::Pong { id: None }));
        insta::assert_snapshot!(shown(reply), @r#"
        ValueWebSocket \x81\x0f{\"type\":\"pong\"}
        ObjectWebSocket \x81\x0f{\"type\":\"pong\"}
        JsonWebSocket \x81\x0f{\"type\":\"pong\"}
        MessagePackWebSocket \x82\x0b\x81\xa4type\xa4pong
        JsonSse data: {\"type\":\"pong\"}\n\n
        JsonNdjson {\"type\":\"pong\"}\n
        MessagePackStream \x00\x00\x00\x0b\x81\xa4type\xa4pong
        "#);
    }

    #[test]
    fn a_goodbye_on_each_wire_that_has_room_for_it() {
        let reply = Reply::Goodbye {
            code: Code::Kicked,
            reason: "go".to_owned(),
            reconnect_after_ms: None,
        };
        insta::assert_snapshot!(shown(|wire| wire.goodbye(&reply)), @r#"
        ValueWebSocket \x81B{\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}
        ObjectWebSocket \x81B{\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}
        JsonWebSocket \x81B{\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}
        MessagePackWebSocket \x82/\x84\xa4type\xa7goodbye\xa4code\xa6kicked\xa6reason\xa2go\xa9reconnect\xc2
        RawSse event: widecast.goodbye\ndata: {\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}\n\n
        ObjectSse data: {\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}\n\n
        JsonSse data: {\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}\n\n
        RawNdjson {\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}\n
        JsonNdjson {\"type\":\"goodbye\",\"code\":\"kicked\",\"reason\":\"go\",\"reconnect\":false}\n
        MessagePackStream \x00\x00\x00/\x84\xa4type\xa7goodbye\xa4code\xa6kicked\xa6reason\xa2go\xa9reconnect\xc2
        "#);
    }

    #[test]
    fn a_heartbeat_on_each_wire() {
        insta::assert_snapshot!(shown(|wire| Some(wire.heartbeat())), @r#"
        RawWebSocket \x89\x00
        ValueWebSocket \x89\x00
        ObjectWebSocket \x89\x00
        JsonWebSocket \x89\x00
        MessagePackWebSocket \x89\x00
        RawSse :\n\n
        ObjectSse :\n\n
        JsonSse :\n\n
        RawNdjson \n
        JsonNdjson \n
        MessagePackStream \x00\x00\x00\x00
        "#);
    }

    #[test]
    fn a_gap_on_each_wire_that_can_tell_it() {
        let channel = ChannelName::parse("news \"today\"").unwrap();
        let position = Position::parse("1-2").unwrap();
        let gap = Gap {
            channel: &channel,
            position,
            cursor: &"a=1-1,b=1-2",
        };
        insta::assert_snapshot!(shown(|wire| wire.gap(gap)), @r#"
        ValueWebSocket \x81J{\"type\":\"gap\",\"channel\":\"news \\\"today\\\"\",\"cursor\":\"1-2\",\"recovered\":false}
        ObjectWebSocket \x81R{\"type\":\"gap\",\"channel\":\"news \\\"today\\\"\",\"recovered\":false,\"cursor\":\"a=1-1,b=1-2\"}
        JsonWebSocket \x81J{\"type\":\"gap\",\"channel\":\"news \\\"today\\\"\",\"cursor\":\"1-2\",\"recovered\":false}
        MessagePackWebSocket \x825\x84\xa4type\xa3gap\xa7channel\xacnews \"today\"\xa6cursor\xa31-2\xa9recovered\xc2
        RawSse id: a=1-1,b=1-2\nevent: widecast.gap\ndata: {\"channel\":\"news \\\"today\\\"\",\"cursor\":\"a=1-1,b=1-2\",\"recovered\":false}\n\n
        ObjectSse id: a=1-1,b=1-2\ndata: {\"type\":\"gap\",\"channel\":\"news \\\"today\\\"\",\"recovered\":false,\"cursor\":\"a=1-1,b=1-2\"}\n\n
        JsonSse data: {\"type\":\"gap\",\"channel\":\"news \\\"today\\\"\",\"cursor\":\"1-2\",\"recovered\":false}\n\n
        RawNdjson {\"type\":\"gap\",\"channel\":\"news \\\"today\\\"\",\"recovered\":false,\"cursor\":\"a=1-1,b=1-2\"}\n
        JsonNdjson {\"type\":\"gap\",\"channel\":\"news \\\"today\\\"\",\"cursor\":\"1-2\",\"recovered\":false}\n
        MessagePackStream \x00\x00\x005\x84\xa4type\xa3gap\xa7channel\xacnews \"today\"\xa6cursor\xa31-2\xa9recovered\xc2
        "#);
        for wire in Wire::ALL {
            assert_eq!(wire.gap(gap).is_some(), wire.tells_gaps(), "{wire:?}");
        }
    }

    #[test]
    fn a_place_on_each_wire_that_has_cursors() {
        insta::assert_snapshot!(shown(|wire| wire.place(&"a=1-1,b=1-2")), @r#"
        ObjectWebSocket \x81({\"type\":\"cursor\",\"cursor\":\"a=1-1,b=1-2\"}
        RawSse id: a=1-1,b=1-2\n\n
        ObjectSse id: a=1-1,b=1-2\n\n
        RawNdjson {\"type\":\"cursor\",\"cursor\":\"a=1-1,b=1-2\"}\n
        "#);
        for wire in Wire::ALL {
            assert_eq!(
                wire.place(&"1-1").is_some(),
                wire.tells_places(),
                "{wire:?}"
            );
        }
    }

    #[test]
    fn the_end_of_each_wire() {
        let end = |wire: Wire| Some(wire.end(Code::ShuttingDown, "over", Some(1500)));
        insta::assert_snapshot!(shown(end), @r#"
        RawWebSocket \x88\x06\x03\xe9over
        ValueWebSocket \x88\x06\x03\xe9over
        ObjectWebSocket \x88\x06\x03\xe9over
        JsonWebSocket \x88\x06\x03\xe9over
        MessagePackWebSocket \x88\x06\x03\xe9over
        RawSse retry: 1500\n\n
        ObjectSse retry: 1500\n\n
        JsonSse retry: 1500\n\n
        RawNdjson 
        JsonNdjson 
        MessagePackStream
        "#);
        assert_eq!(Wire::RawSse.end(Code::ShuttingDown, "over", None), "");
    }

    #[test]
    fn frames_are_found_again_in_their_framing() {
        for wire in [Wire::RawNdjson, Wire::JsonNdjson, Wire::MessagePackStream] {
            let framed = wire.frame(3, |out| out.extend_from_slice(b"abc"));
            assert_eq!(wire.unframed(&framed), b"abc");
        }
    }

    #[test]
    fn a_long_reply_has_a_long_header() {
        for (length, header) in [(200, &b"\x81\x7e"[..]), (100_000, b"\x81\x7f")] {
            let reason = "x".repeat(length);
            let bytes = Wire::JsonWebSocket.encode(&Reply::AuthRequired {
                channel: None,
                reason,
            });
            assert_eq!(&bytes[..2], header);
            assert!(bytes.ends_with(b"x\"}"));
        }
    }
}
