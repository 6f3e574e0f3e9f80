//! Bodies of HTTP answers that carry several things at once: pages of message objects, and frames for polls.
//!
//! The things are the bytes that streams send, made once for all of them: a body puts them together, and neither encodes nor
//! copies a large one again.

use std::fmt::Display;

use bytes::Bytes;

use super::pieces::{Pieces, Shared};
use super::wire::Wire;
use crate::codec::Codec;
use crate::codec::notation::{Json, MessagePack, Notation, Object};
use crate::name::SessionId;

/// Most bodies are shorter than this, apart from large ones.
const TYPICAL_BYTES: usize = 1024;

/// Message objects, and where the reader goes on: the answer of a poll without a session, and a page of the history.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    /// The messages, each as it is on [`Page::WIRE`].
    pub messages: &'a [Bytes],
    /// The cursor that the reader goes on from: of one channel, or of several.
    pub cursor: &'a dyn Display,
    /// Whether nothing is missing before the messages.
    pub recovered: bool,
}

impl Page<'_> {
    /// The wire whose messages a page has.
    pub const WIRE: Wire = Wire::RawNdjson;

    /// The complete body, in JSON.
    pub fn encode(self) -> Pieces {
        let mut body = Vec::with_capacity(TYPICAL_BYTES);
        let mut shared = Shared::default();
        Object::<Json>::begin(&mut body)
            .array("messages", self.messages, |out, message| {
                shared.add(out, message, Self::WIRE.unframed(message));
            })
            .shown("cursor", self.cursor)
            .boolean("recovered", self.recovered)
            .end();
        shared.insert_into(body)
    }
}

/// The frames that a poll of a session is answered.
#[derive(Debug, Clone, Copy)]
pub struct PolledBody<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// The frames, each as it is on the session's wire.
    pub frames: &'a [Bytes],
    /// The cursor by which the next poll acknowledges these frames.
    pub cursor: u64,
}

impl PolledBody<'_> {
    /// The complete body, for a session that speaks on `wire`: in JSON with a line break behind it, or in MessagePack.
    pub fn encode(self, wire: Wire) -> Pieces {
        let mut body = Vec::with_capacity(TYPICAL_BYTES);
        let shared = match wire.codec() {
            Codec::Json => {
                let shared = self.write::<Json>(&mut body, wire);
                body.push(b'\n');
                shared
            }
            Codec::MessagePack => self.write::<MessagePack>(&mut body, wire),
        };
        shared.insert_into(body)
    }

    fn write<N: Notation>(self, out: &mut Vec<u8>, wire: Wire) -> Shared {
        let mut shared = Shared::default();
        Object::<N>::begin(out)
            .text("session", self.session.as_str())
            .array("frames", self.frames, |out, frame| {
                shared.add(out, frame, wire.unframed(frame));
            })
            .shown("cursor", self.cursor)
            .end();
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;

    fn page(messages: &[Bytes], recovered: bool) -> String {
        let page = Page {
            messages,
            cursor: &"a=1-1,b=1-2",
            recovered,
        };
        String::from_utf8(page.encode().flatten().collect()).unwrap()
    }

    fn polled(wire: Wire, count: usize) -> Vec<u8> {
        let frames = vec![wire.encode(&Reply::Pong { id: None }); count];
        let session = SessionId::parse(&"s".repeat(32)).unwrap();
        let answer = PolledBody {
            session: &session,
            frames: &frames,
            cursor: 12,
        };
        answer.encode(wire).flatten().collect()
    }

    #[test]
    fn a_page_has_messages_and_a_cursor() {
        let line = |json: &'static str| Page::WIRE.frame(0, |out| out.extend(json.bytes()));
        insta::assert_snapshot!(page(&[], true), @r#"{"messages":[],"cursor":"a=1-1,b=1-2","recovered":true}"#);
        insta::assert_snapshot!(page(&[line(r#"{"n":1}"#)], false), @r#"{"messages":[{"n":1}],"cursor":"a=1-1,b=1-2","recovered":false}"#);
        insta::assert_snapshot!(page(&[line(r#"{"n":1}"#), line(r#"{"n":"\n"}"#)], true), @r#"{"messages":[{"n":1},{"n":"\n"}],"cursor":"a=1-1,b=1-2","recovered":true}"#);
    }

    #[test]
    fn a_poll_of_a_session_has_frames_in_json() {
        insta::assert_snapshot!(polled(Wire::JsonNdjson, 0).escape_ascii(), @r#"{\"session\":\"ssssssssssssssssssssssssssssssss\",\"frames\":[],\"cursor\":\"12\"}\n"#);
        insta::assert_snapshot!(polled(Wire::JsonNdjson, 2).escape_ascii(), @r#"{\"session\":\"ssssssssssssssssssssssssssssssss\",\"frames\":[{\"type\":\"pong\"},{\"type\":\"pong\"}],\"cursor\":\"12\"}\n"#);
    }

    #[test]
    fn a_poll_of_a_session_has_frames_in_messagepack() {
        insta::assert_snapshot!(polled(Wire::MessagePackStream, 0).escape_ascii(), @r"\x83\xa7session\xd9 ssssssssssssssssssssssssssssssss\xa6frames\x90\xa6cursor\xa212");
        insta::assert_snapshot!(polled(Wire::MessagePackStream, 2).escape_ascii(), @r"\x83\xa7session\xd9 ssssssssssssssssssssssssssssssss\xa6frames\x92\x81\xa4type\xa4pong\x81\xa4type\xa4pong\xa6cursor\xa212");
        let many = polled(Wire::MessagePackStream, 70_000);
        let read: serde_json::Value = rmp_serde::from_slice(&many).unwrap();
        assert_eq!(read["frames"].as_array().map(Vec::len), Some(70_000));
        assert_eq!(read["cursor"], "12");
    }
}
