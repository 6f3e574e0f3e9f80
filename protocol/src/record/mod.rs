//! A message as an engine stores it: what has to be the same on every node and after every restart.
//!
//! A byte for the version, then a MessagePack array: timestamp, kind of the data, the data, its media type, event, id, origin,
//! sender key, idempotency key. The channel and the position are not in it: the store finds the record by them. A reader passes over
//! elements that come after these, so that a release can add some without a new version, and nodes of two neighbouring
//! releases understand each other.
//!
//! A record is read with as much distrust as what a client sends: whoever can write to the store must not be able to make a
//! broker panic.

use bytes::Bytes;

use crate::cursor::Position;
pub use crate::error::RecordError;
use crate::message::{Message, Origin};
use crate::name::{ChannelName, EventName, IdempotencyKey, MessageId, NameError, SenderKey};
use crate::payload::{Payload, PayloadKind};
use crate::value::msgpack::{self, MessagePackHead, MessagePackReader};

/// The version that is written, and the only one that is read.
pub const VERSION: u8 = 1;

/// How many elements a record has.
const ELEMENTS: usize = 9;

/// How many elements data alone has.
const DATA_ELEMENTS: usize = 3;

/// The number of each kind in a record. They stay as they are: stores hold them.
const KINDS: [(PayloadKind, u64); 5] = [
    (PayloadKind::Text, 0),
    (PayloadKind::Binary, 1),
    (PayloadKind::Json, 2),
    (PayloadKind::MessagePack, 3),
    (PayloadKind::Gzip, 4),
];

/// Writes a message with the idempotency key it was published with.
pub fn encode(message: &Message, idempotency_key: Option<&IdempotencyKey>) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.payload.size_bytes() + 128);
    out.push(VERSION);
    msgpack::write_array(&mut out, ELEMENTS);
    msgpack::write_unsigned(&mut out, message.timestamp_ms);
    write_payload(&mut out, &message.payload);
    write_text(&mut out, message.event.as_ref().map(EventName::as_str));
    write_text(&mut out, message.id.as_ref().map(MessageId::as_str));
    write_text(&mut out, Some(message.origin.as_str()));
    write_text(&mut out, message.sender.as_ref().map(SenderKey::as_str));
    write_text(&mut out, idempotency_key.map(IdempotencyKey::as_str));
    out
}

/// Writes data alone, as that of a member: a byte for the version, then an array of kind, data and media type.
pub fn encode_data(payload: &Payload) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.size_bytes() + 16);
    out.push(VERSION);
    msgpack::write_array(&mut out, DATA_ELEMENTS);
    write_payload(&mut out, payload);
    out
}

fn write_payload(out: &mut Vec<u8>, payload: &Payload) {
    let numbered = KINDS.iter().find(|(kind, _)| *kind == payload.kind());
    msgpack::write_unsigned(out, numbered.map_or(0, |(_, number)| *number));
    msgpack::write_binary(out, payload.bytes());
    write_text(out, payload.media_type());
}

fn write_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => msgpack::write_text(out, text.as_bytes()),
        None => msgpack::write_nil(out),
    }
}

/// Reads a message that [`encode`] wrote, with its idempotency key. The record is found by `channel` and `position`.
///
/// # Errors
/// When the bytes are no record, or one of another version.
pub fn decode(
    record: &[u8],
    channel: ChannelName,
    position: Position,
) -> Result<(Message, Option<IdempotencyKey>), RecordError> {
    let mut elements = Elements::open(record, ELEMENTS)?;
    let timestamp_ms = elements.unsigned("a timestamp")?;
    let payload = payload(&mut elements)?;
    let event = elements.name("the name of an event", EventName::parse)?;
    let id = elements.name("a message id", MessageId::parse)?;
    let origin = elements.text("an origin")?.unwrap_or_default();
    let sender = elements.name("a sender key", SenderKey::parse)?;
    let idempotency_key = elements.name("an idempotency key", IdempotencyKey::parse)?;
    elements.end()?;
    let message = Message {
        channel,
        payload,
        event,
        id,
        origin: match origin {
            "" => Origin::unknown(),
            origin => Origin::verified(origin),
        },
        offset: position.offset,
        epoch: position.epoch,
        timestamp_ms,
        sender,
    };
    Ok((message, idempotency_key))
}

/// Reads no more of a message that [`encode`] wrote than its timestamp, in milliseconds since 1970-01-01 UTC.
///
/// # Errors
/// When the bytes are no record, or one of another version.
pub fn timestamp_ms(record: &[u8]) -> Result<u64, RecordError> {
    Elements::open(record, ELEMENTS)?.unsigned("a timestamp")
}

/// Reads data that [`encode_data`] wrote.
///
/// # Errors
/// When the bytes are no record of data, or one of another version.
pub fn decode_data(record: &[u8]) -> Result<Payload, RecordError> {
    let mut elements = Elements::open(record, DATA_ELEMENTS)?;
    let payload = payload(&mut elements)?;
    elements.end()?;
    Ok(payload)
}

fn payload(elements: &mut Elements<'_>) -> Result<Payload, RecordError> {
    const KIND: &str = "the kind of a message's data";
    let number = elements.unsigned(KIND)?;
    let MessagePackHead::Binary(bytes) = elements.next()? else {
        return Err(shape("the data of a message"));
    };
    let media_type = elements.text("a media type")?;
    let kind = KINDS.iter().find(|(_, known)| *known == number);
    let (kind, _) = *kind.ok_or(shape(KIND))?;
    let bytes = Bytes::copy_from_slice(bytes);
    let payload = match (kind, media_type) {
        (PayloadKind::Binary, Some(media_type)) => Payload::binary_of_type(bytes, media_type),
        _ => Payload::of_kind(kind, bytes).map_err(RecordError::Payload)?,
    };
    // What is kept in another way now would be shown in another way than on the node that published it.
    if payload.kind() != kind || payload.media_type() != media_type {
        return Err(shape("data of the kind that is stated"));
    }
    Ok(payload)
}

fn shape(expected: &'static str) -> RecordError {
    RecordError::Shape { expected }
}

/// The elements of a record, one after the other.
struct Elements<'a> {
    reader: MessagePackReader<'a>,
    later: usize,
}

impl<'a> Elements<'a> {
    fn open(record: &'a [u8], least: usize) -> Result<Self, RecordError> {
        let (&version, body) = record.split_first().ok_or(RecordError::Empty)?;
        if version != VERSION {
            return Err(RecordError::Version {
                known: VERSION,
                found: version,
            });
        }
        let mut reader = MessagePackReader::new(body);
        let head = reader.next().map_err(RecordError::Syntax)?;
        let later = match head {
            MessagePackHead::Array(count) => count.checked_sub(least),
            _ => None,
        };
        let later = later.ok_or(shape("an array of as many elements as are known, or more"))?;
        Ok(Self { reader, later })
    }

    fn next(&mut self) -> Result<MessagePackHead<'a>, RecordError> {
        self.reader.next().map_err(RecordError::Syntax)
    }

    fn unsigned(&mut self, expected: &'static str) -> Result<u64, RecordError> {
        match self.next()? {
            MessagePackHead::Unsigned(number) => Ok(number),
            _ => Err(shape(expected)),
        }
    }

    fn text(&mut self, expected: &'static str) -> Result<Option<&'a str>, RecordError> {
        match self.next()? {
            MessagePackHead::Nil => Ok(None),
            MessagePackHead::Text(text) => Ok(Some(text)),
            _ => Err(shape(expected)),
        }
    }

    fn name<T>(
        &mut self,
        expected: &'static str,
        parse: fn(&str) -> Result<T, NameError>,
    ) -> Result<Option<T>, RecordError> {
        let text = self.text(expected)?;
        Ok(text.map(parse).transpose()?)
    }

    /// Passes over what later releases have added.
    fn end(mut self) -> Result<(), RecordError> {
        for _ in 0..self.later {
            self.reader.skip().map_err(RecordError::Syntax)?;
        }
        self.reader.end().map_err(RecordError::Syntax)
    }
}

#[cfg(test)]
mod tests;
