//! A message with its bytes for every wire, each made at most once and shared by all who receive it.
//!
//! Making a form is the one place in the delivery path that writes a payload: an envelope around the payload's own bytes, in
//! one allocation. The payload is transcoded or inflated at most once, since it lacks at most one of the two codecs. Nothing in here
//! depends on the receiver, except that sessions of several channels put a cursor of their own before
//! [`EncodedMessage::after_cursor`].

use std::sync::OnceLock;

use bytes::Bytes;

use crate::codec::notation::{Json, MessagePack, Object};
use crate::codec::{Codec, write_message};
use crate::cursor::Position;
use crate::framing::{Content, Framing, Wire, sse, websocket};
use crate::message::Message;
use crate::payload::{Payload, PayloadKind};

/// A message and its wire forms.
#[derive(Debug)]
pub struct EncodedMessage {
    message: Message,
    /// The payload in the codec that it did not come in.
    transcoded: OnceLock<Payload>,
    forms: [OnceLock<Bytes>; Wire::ALL.len()],
}

impl EncodedMessage {
    /// A message, none of whose forms has been made.
    pub fn new(message: Message) -> Self {
        Self {
            message,
            transcoded: OnceLock::new(),
            forms: [const { OnceLock::new() }; Wire::ALL.len()],
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

    /// The complete bytes on a wire.
    pub fn bytes(&self, wire: Wire) -> Bytes {
        self.form(wire).clone()
    }

    /// The part after the cursor, shared with the whole: it goes behind [`Wire::head`] with a cursor of several channels. On wires
    /// where messages have no such head, all.
    pub fn after_cursor(&self, wire: Wire) -> Bytes {
        let start = wire.head(self.position()).len();
        self.form(wire).slice(start..)
    }

    /// About how much memory the message takes, without its forms: what a history counts.
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

    fn form(&self, wire: Wire) -> &Bytes {
        self.forms[wire as usize].get_or_init(|| self.make(wire))
    }

    fn make(&self, wire: Wire) -> Bytes {
        let json_capacity = self.envelope_bytes() + self.json_capacity();
        match (wire.content(), wire.framing()) {
            (Content::Data, Framing::Sse) => self.event(),
            (Content::Data, _) => self.data(wire),
            (Content::Value, _) => self.value(wire),
            (Content::Object, Framing::Sse) => {
                sse::object(json_capacity, self.position(), |out| self.write_object(out))
            }
            (Content::Object, _) => wire.frame(json_capacity, |out| self.write_object(out)),
            (Content::Frame(Codec::Json), _) => {
                wire.frame(json_capacity, |out| self.write_json_frame(out))
            }
            (Content::Frame(Codec::MessagePack), _) => {
                let capacity = self.envelope_bytes() + self.msgpack_capacity();
                wire.frame(capacity, |out| self.write_msgpack_frame(out))
            }
        }
    }

    /// Appends the `message` frame in JSON.
    pub(crate) fn write_json_frame(&self, out: &mut Vec<u8>) {
        write_message::<Json>(out, &self.message, |out| self.write_json_data(out));
    }

    /// Appends the `message` frame in MessagePack.
    pub(crate) fn write_msgpack_frame(&self, out: &mut Vec<u8>) {
        write_message::<MessagePack>(out, &self.message, |out| self.write_msgpack_data(out));
    }

    /// The bare data: bytes as a binary message, a string as itself.
    fn data(&self, wire: Wire) -> Bytes {
        let payload = self.payload_in(Codec::Json);
        match payload.kind() {
            PayloadKind::Binary => websocket::binary(payload.bytes()),
            _ => wire.frame(payload.bytes().len(), |out| {
                out.extend_from_slice(payload.bytes());
            }),
        }
    }

    /// The data as JSON, but for bytes.
    fn value(&self, wire: Wire) -> Bytes {
        let payload = self.payload_in(Codec::Json);
        match payload.kind() {
            PayloadKind::Binary => websocket::binary(payload.bytes()),
            _ => wire.frame(payload.json_capacity(), |out| payload.write_json(out)),
        }
    }

    /// The bare data as an event, under the name of the message.
    fn event(&self) -> Bytes {
        let payload = self.payload_in(Codec::Json);
        let data_capacity = match payload.kind() {
            PayloadKind::Text => sse::data_capacity(payload.bytes()),
            _ => payload.json_capacity(),
        };
        let mut out = Vec::with_capacity(self.envelope_bytes() + data_capacity);
        out.extend_from_slice(Wire::RawSse.head(self.position()).as_bytes());
        if let Some(event) = &self.message.event {
            out.extend_from_slice(b"\nevent: ");
            out.extend_from_slice(event.as_str().as_bytes());
        }
        out.push(b'\n');
        match payload.kind() {
            PayloadKind::Text => sse::write_data(&mut out, payload.bytes()),
            _ => sse::write_line(&mut out, |out| payload.write_json(out)),
        }
        out.push(b'\n');
        out.into()
    }

    fn write_object(&self, out: &mut Vec<u8>) {
        let message = &self.message;
        Object::<Json>::begin(out)
            .shown("cursor", self.position())
            .text("channel", message.channel.as_str())
            .number("offset", message.offset.0)
            .optional(message.event.as_ref(), |item, event| {
                item.text("event", event.as_str())
            })
            .optional(message.id.as_ref(), |item, id| {
                item.text("message_id", id.as_str())
            })
            .text("origin", message.origin.as_str())
            .number("timestamp", message.timestamp_ms)
            .field("data", |out| self.write_json_data(out))
            .end();
    }

    fn write_json_data(&self, out: &mut Vec<u8>) {
        self.payload_in(Codec::Json).write_json(out);
    }

    fn write_msgpack_data(&self, out: &mut Vec<u8>) {
        self.payload_in(Codec::MessagePack).write_msgpack(out);
    }

    fn json_capacity(&self) -> usize {
        self.payload_in(Codec::Json).json_capacity()
    }

    fn msgpack_capacity(&self) -> usize {
        self.payload_in(Codec::MessagePack).msgpack_capacity()
    }

    /// The payload as a codec writes it. Strings and bytes stay what they are: they are written into each form as quickly
    /// as a copy would be.
    fn payload_in(&self, codec: Codec) -> &Payload {
        let payload = &self.message.payload;
        match (payload.kind(), codec) {
            (PayloadKind::Json, Codec::MessagePack) => {
                self.transcoded.get_or_init(|| payload.packed())
            }
            (PayloadKind::MessagePack | PayloadKind::Gzip, Codec::Json) => {
                self.transcoded.get_or_init(|| payload.shown())
            }
            _ => payload,
        }
    }

    /// Room for everything but the data: what the longest envelope has besides its names.
    fn envelope_bytes(&self) -> usize {
        const FIXED_BYTES: usize = 160;
        /// What stands around an id.
        const ID_BYTES: usize = 16;
        let message = &self.message;
        let event = message
            .event
            .as_ref()
            .map_or(0, |event| event.as_str().len());
        let id = message
            .id
            .as_ref()
            .map_or(0, |id| ID_BYTES + id.as_str().len());
        FIXED_BYTES + message.channel.as_str().len() + event + id + message.origin.as_str().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Epoch, Offset, Origin};
    use crate::name::{ChannelName, EventName, MessageId};
    use crate::payload::Payload;

    const GZIP_OF_TEXT: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x5b\x9c\xc8\x95\x04\x00\x1e\x20\xdc\x6e\x04\x00\x00\x00";
    const GZIP_OF_BINARY: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x3b\xc2\x9c\xc8\x95\x04\x00\x01\x5f\x44\xd8\x05\x00\x00\x00";
    const GZIP_OF_ARRAY: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x9b\xb8\x30\x11\x00\xb3\xd7\x39\x8e\x03\x00\x00\x00";

    fn encoded(payload: Payload, event: Option<&str>) -> EncodedMessage {
        EncodedMessage::new(Message {
            channel: ChannelName::parse("news").unwrap(),
            payload,
            event: event.map(|event| EventName::parse(event).unwrap()),
            id: None,
            origin: Origin::verified("https://example.org"),
            offset: Offset(7),
            epoch: Epoch(35),
            timestamp_ms: 1_700_000_000_000,
            sender: None,
        })
    }

    #[test]
    fn each_form_is_made_once() {
        let message = encoded(Payload::from_json("{\"a\":1}").unwrap(), None);
        for &form in Wire::ALL {
            assert_eq!(message.bytes(form).as_ptr(), message.bytes(form).as_ptr());
        }
    }

    #[test]
    fn what_stands_around_the_cursor_is_the_whole() {
        let message = encoded(Payload::text("hello"), Some("greeting"));
        for &form in Wire::ALL {
            let head = form.head("z-7");
            let after = message.after_cursor(form);
            let whole = [head.as_bytes(), &after].concat();
            assert_eq!(message.bytes(form), whole);
        }
    }

    /// The message in each form, one a line.
    fn shown(payload: Payload, event: Option<&str>) -> String {
        let message = encoded(payload, event);
        let line = |form: &Wire| format!("{form:?} {}", message.bytes(*form).escape_ascii());
        Wire::ALL.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn text_in_each_form() {
        insta::assert_snapshot!(shown(Payload::text("a \"word\" and é"), None), @r#"
        RawWebSocket \x81\x0fa \"word\" and \xc3\xa9
        ValueWebSocket \x81\x13\"a \\\"word\\\" and \xc3\xa9\"
        ObjectWebSocket \x81~\x00\x80{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"a \\\"word\\\" and \xc3\xa9\"}
        JsonWebSocket \x81~\x00\x8e{\"type\":\"message\",\"channel\":\"news\",\"data\":\"a \\\"word\\\" and \xc3\xa9\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
        MessagePackWebSocket \x82n\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xafa \"word\" and \xc3\xa9\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        RawSse id: z-7\ndata: a \"word\" and \xc3\xa9\n\n
        ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"a \\\"word\\\" and \xc3\xa9\"}\n\n
        JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":\"a \\\"word\\\" and \xc3\xa9\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
        RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"a \\\"word\\\" and \xc3\xa9\"}\n
        JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":\"a \\\"word\\\" and \xc3\xa9\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
        MessagePackStream \x00\x00\x00n\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xafa \"word\" and \xc3\xa9\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        "#);
    }

    #[test]
    fn text_of_several_lines_in_each_form() {
        insta::assert_snapshot!(shown(Payload::text("\n1\r\n2\r3\r\r\n"), Some("poem")), @r#"
        RawWebSocket \x81\n\n1\r\n2\r3\r\r\n
        ValueWebSocket \x81\x13\"\\n1\\r\\n2\\r3\\r\\r\\n\"
        ObjectWebSocket \x81~\x00\x8f{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"poem\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\"}
        JsonWebSocket \x81~\x00\x9d{\"type\":\"message\",\"channel\":\"news\",\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\",\"event\":\"poem\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
        MessagePackWebSocket \x82t\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\xaa\n1\r\n2\r3\r\r\n\xa5event\xa4poem\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        RawSse id: z-7\nevent: poem\ndata: \ndata: 1\ndata: 2\ndata: 3\ndata: \ndata: \n\n
        ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"poem\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\"}\n\n
        JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\",\"event\":\"poem\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
        RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"poem\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\"}\n
        JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":\"\\n1\\r\\n2\\r3\\r\\r\\n\",\"event\":\"poem\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
        MessagePackStream \x00\x00\x00t\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\xaa\n1\r\n2\r3\r\r\n\xa5event\xa4poem\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        "#);
    }

    #[test]
    fn bytes_in_each_form() {
        insta::assert_snapshot!(shown(Payload::binary(Bytes::from_static(b"\0\x01\xfe\xff")), None), @r#"
        RawWebSocket \x82\x04\x00\x01\xfe\xff
        ValueWebSocket \x82\x04\x00\x01\xfe\xff
        ObjectWebSocket \x81~\x00\x92{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"}}
        JsonWebSocket \x81~\x00\xa0{\"type\":\"message\",\"channel\":\"news\",\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"},\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
        MessagePackWebSocket \x82d\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xc4\x04\x00\x01\xfe\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        RawSse id: z-7\ndata: {\"$type\":\"binary\",\"value\":\"AAH+/w==\"}\n\n
        ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"}}\n\n
        JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"},\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
        RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"}}\n
        JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"$type\":\"binary\",\"value\":\"AAH+/w==\"},\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
        MessagePackStream \x00\x00\x00d\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\xc4\x04\x00\x01\xfe\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        "#);
    }

    #[test]
    fn json_in_each_form() {
        let payload =
            Payload::from_json("{\"at\":{\"$type\":\"Date\",\"value\":0},\n\"n\":-1.50}").unwrap();
        insta::assert_snapshot!(shown(payload, Some("tick \"tock\"")), @r#"
        RawWebSocket \x81+{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}
        ValueWebSocket \x81+{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}
        ObjectWebSocket \x81~\x00\xb0{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}}
        JsonWebSocket \x81~\x00\xbe{\"type\":\"message\",\"channel\":\"news\",\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50},\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
        MessagePackWebSocket \x82~\x00\x82\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\x82\xa2at\xd4\x02\x00\xa1n\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00\xa5event\xabtick \"tock\"\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        RawSse id: z-7\nevent: tick \"tock\"\ndata: {\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}\n\n
        ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}}\n\n
        JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50},\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
        RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50}}\n
        JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":{\"at\":{\"$type\":\"Date\",\"value\":0},\"n\":-1.50},\"event\":\"tick \\\"tock\\\"\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
        MessagePackStream \x00\x00\x00\x82\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\x82\xa2at\xd4\x02\x00\xa1n\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00\xa5event\xabtick \"tock\"\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        "#);
    }

    #[test]
    fn msgpack_in_each_form() {
        let payload =
            Payload::from_msgpack(Bytes::from_static(b"\x93\xc0\xc4\x01\xff\xcc\xff")).unwrap();
        insta::assert_snapshot!(shown(payload, None), @r#"
        RawWebSocket \x81,[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]
        ValueWebSocket \x81,[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]
        ObjectWebSocket \x81~\x00\x99{\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]}
        JsonWebSocket \x81~\x00\xa7{\"type\":\"message\",\"channel\":\"news\",\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255],\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}
        MessagePackWebSocket \x82e\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\x93\xc0\xc4\x01\xff\xcc\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        RawSse id: z-7\ndata: [null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]\n\n
        ObjectSse id: z-7\ndata: {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]}\n\n
        JsonSse data: {\"type\":\"message\",\"channel\":\"news\",\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255],\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n\n
        RawNdjson {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255]}\n
        JsonNdjson {\"type\":\"message\",\"channel\":\"news\",\"data\":[null,{\"$type\":\"binary\",\"value\":\"/w==\"},255],\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
        MessagePackStream \x00\x00\x00e\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\x93\xc0\xc4\x01\xff\xcc\xff\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        "#);
    }

    #[test]
    fn a_compressed_message_is_the_value_in_all_forms_but_msgpack() {
        // `gzip -n` of the MessagePack of "a\nb", of the same as bin, and of ["a"].
        for (gzip, value) in [
            (GZIP_OF_TEXT, Payload::text("a\nb")),
            (GZIP_OF_BINARY, Payload::binary(Bytes::from_static(b"a\nb"))),
            (GZIP_OF_ARRAY, Payload::from_json("[\"a\"]").unwrap()),
        ] {
            let length = u8::try_from(gzip.len()).unwrap();
            let head = [0xc7, length + 2, 31, 0xc4, length];
            let came = [&head[..], gzip].concat();
            let payload = Payload::from_msgpack(came.clone()).unwrap();
            let compressed = encoded(payload.checked_gzip(100).unwrap(), None);
            let plain = encoded(value, None);
            for &form in Wire::ALL {
                if matches!(form, Wire::MessagePackWebSocket | Wire::MessagePackStream) {
                    let bytes = compressed.bytes(form);
                    assert!(bytes.windows(came.len()).any(|part| part == came));
                } else {
                    assert_eq!(compressed.bytes(form), plain.bytes(form), "{form:?}");
                }
            }
        }
    }

    #[test]
    fn receivers_are_shown_what_the_sender_called_it() {
        let mut message = encoded(Payload::null(), None).message;
        message.id = MessageId::parse("m-1").ok();
        let message = EncodedMessage::new(message);
        let line = |form| message.bytes(form).escape_ascii().to_string();
        let forms = [Wire::JsonNdjson, Wire::MessagePackStream, Wire::RawNdjson];
        insta::assert_snapshot!(forms.map(line).join("\n"), @r#"
        {\"type\":\"message\",\"channel\":\"news\",\"data\":null,\"message_id\":\"m-1\",\"origin\":\"https://example.org\",\"offset\":7,\"epoch\":\"z\",\"timestamp\":1700000000000}\n
        \x00\x00\x00n\x88\xa4type\xa7message\xa7channel\xa4news\xa4data\xc0\xaamessage_id\xa3m-1\xa6origin\xb3https://example.org\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\xcf\x00\x00\x01\x8b\xcf\xe5h\x00
        {\"cursor\":\"z-7\",\"channel\":\"news\",\"offset\":7,\"message_id\":\"m-1\",\"origin\":\"https://example.org\",\"timestamp\":1700000000000,\"data\":null}\n
        "#);
    }

    #[test]
    fn the_room_made_for_a_form_is_enough() {
        let json = Payload::from_json(format!("[\"{}\"]", "x".repeat(70_000))).unwrap();
        for payload in [
            json,
            Payload::text("é\n".repeat(1000)),
            Payload::binary(vec![7; 5000].into()),
        ] {
            let message = encoded(payload, Some("event"));
            let room = message.envelope_bytes() + message.json_capacity();
            for form in [Wire::JsonWebSocket, Wire::JsonSse, Wire::RawNdjson] {
                let length = message.bytes(form).len();
                assert!(
                    length <= room + 16,
                    "{form:?}: {length} bytes in room for {room}"
                );
            }
            let room = message.envelope_bytes() + message.msgpack_capacity();
            assert!(message.bytes(Wire::MessagePackStream).len() <= room + 4);
        }
    }
}
