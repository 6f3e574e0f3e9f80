//! Compressed values: a payload that is the gzip of another.

use super::{CHECKED, Payload, PayloadKind};
use crate::error::{Codec, DecodeError, utf8};
use crate::gzip;
use crate::value::json::{JsonReader, JsonToken};
use crate::value::msgpack::MessagePackReader;

impl Payload {
    /// Recognises a compressed value: extension [`gzip::EXTENSION`] with the gzip of a MessagePack value as a bin. Until
    /// this has been called it is an extension like any other. Any other value is returned as it is.
    ///
    /// # Errors
    /// When it is not the gzip of exactly one value, or has more than `limit` bytes inflated; no more are ever made.
    pub fn checked_gzip(self, limit: usize) -> Result<Self, DecodeError> {
        let compressed = match self.kind {
            PayloadKind::MessagePack => gzip::extension_body(&self.bytes)?,
            PayloadKind::Json if json_is_extension(&self.bytes) => {
                gzip::extension_body(&self.to_msgpack())?
            }
            _ => None,
        };
        let Some(compressed) = compressed else {
            return Ok(self);
        };
        inflate_value(&compressed, limit)?;
        Ok(Self::new(PayloadKind::Gzip, compressed))
    }

    /// How many bytes [`Self::checked_gzip`] may have to inflate, as far as one can tell from how the value begins; 0 if it is not a
    /// compressed one.
    pub fn most_inflated_bytes(&self) -> usize {
        let is_compressed = match self.kind {
            PayloadKind::MessagePack => MessagePackReader::new(&self.bytes)
                .next()
                .is_ok_and(|head| gzip::compressed_extension(head).is_some()),
            PayloadKind::Json => json_is_extension(&self.bytes),
            _ => false,
        };
        if is_compressed {
            self.bytes.len().saturating_mul(gzip::MOST_GROWTH)
        } else {
            0
        }
    }

    /// Checks a gzip that was checked before it was stored: no more is inflated than it says.
    pub(super) fn check_gzip(&self) -> Result<(), DecodeError> {
        let limit = gzip::claimed_bytes(&self.bytes);
        inflate_value(&self.bytes, limit).map(drop)
    }

    /// The value in a gzip that was checked.
    pub(crate) fn inflated(&self) -> Self {
        let limit = gzip::claimed_bytes(&self.bytes);
        inflate_value(&self.bytes, limit).expect(CHECKED)
    }
}

/// The value in a gzip, which has at most `limit` bytes and is not compressed itself.
fn inflate_value(compressed: &[u8], limit: usize) -> Result<Payload, DecodeError> {
    let inflated = gzip::inflate(compressed, limit)?;
    let inside = |error| DecodeError::Inflated(Box::new(error));
    let value = Payload::from_msgpack(inflated).map_err(inside)?;
    let packed_again = value.kind() == PayloadKind::MessagePack
        && MessagePackReader::new(value.bytes())
            .next()
            .is_ok_and(|head| gzip::compressed_extension(head).is_some());
    if packed_again {
        return Err(inside(DecodeError::Syntax {
            codec: Codec::MessagePack,
            expected: "a value that is not compressed once more",
            at: 0,
        }));
    }
    Ok(value)
}

/// Whether a JSON value begins as an extension does that is shown with its code.
fn json_is_extension(json: &[u8]) -> bool {
    // Most values are told by how they begin, without a look at the rest.
    let mut begin = json.iter().filter(|byte| !byte.is_ascii_whitespace());
    let may_be = begin.next() == Some(&b'{')
        && begin.next() == Some(&b'"')
        && matches!(begin.next(), Some(b'$' | b'\\'));
    if !may_be {
        return false;
    }
    let Ok(text) = utf8(json) else {
        return false;
    };
    let mut reader = JsonReader::new(text);
    let Ok(JsonToken::Object) = reader.next() else {
        return false;
    };
    let mut open = JsonReader::open(JsonToken::Object);
    reader.more(&mut open) == Ok(true)
        && reader.key().is_ok_and(|key| key.decode() == "$type")
        && matches!(reader.next(), Ok(JsonToken::Text(name)) if name.decode() == "ext")
}
