//! The wire forms of one message, made when they are asked for.

use std::cell::OnceCell;

use bytes::Bytes;

use super::EncodedMessage;
use crate::codec::notation::{Json, MessagePack, Object};
use crate::codec::{Codec, write_message};
use crate::framing::{Content, Framing, Wire, sse, websocket};
use crate::message::Message;
use crate::payload::{Payload, PayloadKind};

/// The wire forms of a message for one walk over those who receive it: what has been asked for once is at hand without a lock.
#[derive(Debug)]
pub struct Forms<'m> {
    encoded: &'m EncodedMessage,
    /// The payload in the codec that it did not come in.
    transcoded: OnceCell<Payload>,
    made: [OnceCell<Bytes>; Wire::ALL.len()],
}

impl<'m> Forms<'m> {
    pub(super) const fn of(encoded: &'m EncodedMessage) -> Self {
        Self {
            encoded,
            transcoded: OnceCell::new(),
            made: [const { OnceCell::new() }; Wire::ALL.len()],
        }
    }

    /// The complete bytes on a wire.
    pub fn bytes(&self, wire: Wire) -> Bytes {
        self.form(wire).clone()
    }

    /// The part after the cursor, shared with the whole: it goes behind [`Wire::head`] with a cursor of several channels. On wires
    /// where messages have no such head, all.
    pub fn after_cursor(&self, wire: Wire) -> Bytes {
        let start = wire.head(self.encoded.position()).len();
        self.form(wire).slice(start..)
    }

    /// The forms that have been asked for.
    pub fn made(&self) -> impl Iterator<Item = &Bytes> {
        self.made.iter().filter_map(OnceCell::get)
    }

    fn message(&self) -> &Message {
        &self.encoded.message
    }

    fn form(&self, wire: Wire) -> &Bytes {
        let place = wire as usize;
        self.made[place].get_or_init(|| self.encoded.held.get_or_make(place, || self.make(wire)))
    }

    fn make(&self, wire: Wire) -> Bytes {
        let json_capacity = self.envelope_bytes() + self.json_capacity();
        match (wire.content(), wire.framing()) {
            (Content::Data, Framing::Sse) => self.event(),
            (Content::Data, _) => self.data(wire),
            (Content::Value, _) => self.value(wire),
            (Content::Object, Framing::Sse) => {
                sse::object(json_capacity, self.encoded.position(), |out| {
                    self.write_object(out);
                })
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

    fn write_json_frame(&self, out: &mut Vec<u8>) {
        write_message::<Json>(out, self.message(), |out| self.write_json_data(out));
    }

    fn write_msgpack_frame(&self, out: &mut Vec<u8>) {
        write_message::<MessagePack>(out, self.message(), |out| self.write_msgpack_data(out));
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
        out.extend_from_slice(Wire::RawSse.head(self.encoded.position()).as_bytes());
        if let Some(event) = &self.message().event {
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
        let message = self.message();
        Object::<Json>::begin(out)
            .shown("cursor", self.encoded.position())
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

    pub(super) fn json_capacity(&self) -> usize {
        self.payload_in(Codec::Json).json_capacity()
    }

    pub(super) fn msgpack_capacity(&self) -> usize {
        self.payload_in(Codec::MessagePack).msgpack_capacity()
    }

    /// The payload as a codec writes it. Strings and bytes stay what they are: they are written into each form as quickly
    /// as a copy would be.
    fn payload_in(&self, codec: Codec) -> &Payload {
        let payload = &self.message().payload;
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
    pub(super) fn envelope_bytes(&self) -> usize {
        const FIXED_BYTES: usize = 160;
        /// What stands around an id.
        const ID_BYTES: usize = 16;
        let message = self.message();
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
