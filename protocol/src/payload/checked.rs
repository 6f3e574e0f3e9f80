//! Values that have been checked and are still part of what they came in: how a payload is taken out of a frame or body.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Payload, PayloadKind};
use crate::error::DecodeError;
use crate::value::json::{JsonReader, JsonToken, RawText};
use crate::value::msgpack::{MessagePackHead, MessagePackReader};
use crate::value::{to_json, to_msgpack};

/// A part of what was decoded, as a payload's own bytes. A small part is copied: otherwise a short message in a history
/// would keep the whole body or frame that it came in.
fn part_of(whole: &Bytes, part: &[u8]) -> Bytes {
    if part.len() >= whole.len() / 2 {
        whole.slice_ref(part)
    } else {
        Bytes::copy_from_slice(part)
    }
}

/// A JSON value that has been checked, not yet taken out of what it stands in.
pub(crate) struct JsonValue<'a> {
    first: JsonToken<'a>,
    text: &'a str,
    /// Line breaks between its tokens have to go.
    line_breaks: bool,
}

impl<'a> JsonValue<'a> {
    /// Reads one value.
    pub(crate) fn read(reader: &mut JsonReader<'a>) -> Result<Self, DecodeError> {
        reader.skip_space();
        reader.line_breaks = false;
        let start = reader.at();
        let first = reader.next()?;
        reader.finish(first)?;
        Ok(Self {
            first,
            text: reader.since(start),
            line_breaks: reader.line_breaks,
        })
    }

    /// Makes it a payload; `whole` is what the reader reads.
    pub(crate) fn into_payload(self, whole: &Bytes) -> Payload {
        if let JsonToken::Text(text) = self.first {
            return match text.decode() {
                Cow::Borrowed(text) => {
                    Payload::new(PayloadKind::Text, part_of(whole, text.as_bytes()))
                }
                Cow::Owned(text) => Payload::text(text),
            };
        }
        if let Some(bytes) = self.tagged_binary() {
            return Payload::binary(bytes.into());
        }
        let bytes = if self.line_breaks {
            // Inside of strings they are escaped, so all there are stand between tokens.
            let kept = self.text.bytes().filter(|b| !matches!(b, b'\n' | b'\r'));
            kept.collect()
        } else {
            part_of(whole, self.text.as_bytes())
        };
        Payload::new(PayloadKind::Json, bytes)
    }

    /// The bytes of `{"$type":"binary","value":"<base64>"}`.
    fn tagged_binary(&self) -> Option<Vec<u8>> {
        if self.first != JsonToken::Object {
            return None;
        }
        let mut reader = JsonReader::new(self.text);
        let mut open = JsonReader::open(reader.next().ok()?);
        let mut field = |name: &str| -> Option<RawText<'a>> {
            let more = reader.more(&mut open).ok()?;
            if !more || reader.key().ok()?.decode() != name {
                return None;
            }
            match reader.next().ok()? {
                JsonToken::Text(text) => Some(text),
                _ => None,
            }
        };
        if field("$type")?.decode() != "binary" {
            return None;
        }
        let value = field("value")?;
        let closed = !reader.more(&mut open).ok()?;
        closed.then(|| to_msgpack::decode_base64(value)).flatten()
    }
}

/// A MessagePack value that has been checked, not yet taken out of what it stands in.
pub(crate) struct MessagePackValue<'a> {
    head: MessagePackHead<'a>,
    bytes: &'a [u8],
}

impl<'a> MessagePackValue<'a> {
    /// Reads one value.
    pub(crate) fn read(reader: &mut MessagePackReader<'a>) -> Result<Self, DecodeError> {
        let start = reader.at();
        let head = reader.next()?;
        to_json::check(reader, head)?;
        Ok(Self {
            head,
            bytes: reader.since(start),
        })
    }

    /// Makes it a payload; `whole` is what the reader reads.
    pub(crate) fn into_payload(self, whole: &Bytes) -> Payload {
        let (kind, bytes) = match self.head {
            MessagePackHead::Text(text) => (PayloadKind::Text, text.as_bytes()),
            MessagePackHead::Binary(bytes) => (PayloadKind::Binary, bytes),
            _ => (PayloadKind::MessagePack, self.bytes),
        };
        Payload::new(kind, part_of(whole, bytes))
    }
}
