//! The data of a message, in the form its publisher sent it, checked once and passed on as it is.

mod checked;
mod compressed;
mod document;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{DecodeError, utf8};
use crate::gzip;
use crate::value::blob;
use crate::value::form::{self, FormField};
use crate::value::json::JsonReader;
use crate::value::msgpack::MessagePackReader;

pub(crate) use checked::{JsonValue, MessagePackValue};
pub use document::Document;

/// A structured-clone value in one of five forms, valid by construction. A string is always `Text` and a byte sequence
/// always `Binary`, in whatever codec they came, so that every transport shows them the same way; unless they came
/// compressed, which [`Self::checked_gzip`] finds out.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    kind: PayloadKind,
    bytes: Bytes,
    /// Of bytes: the media type that they came with.
    media_type: Option<Arc<str>>,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Payload");
        shown.field("kind", &self.kind).field("bytes", &self.bytes);
        if let Some(media_type) = &self.media_type {
            shown.field("media_type", media_type);
        }
        shown.finish()
    }
}

/// The form in which a payload is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// A string, as UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// Any other value, as JSON on one line.
    Json,
    /// Any other value, as MessagePack.
    MessagePack,
    /// A value of any kind: the gzip of its MessagePack.
    Gzip,
}

/// Why transcoding cannot fail.
pub(crate) const CHECKED: &str =
    "a payload is checked when it is made, deeper than its other form goes";

impl Payload {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(PayloadKind::Text, Bytes::from(text.into()))
    }

    /// A string of bytes that came from outside.
    ///
    /// # Errors
    /// When they are not UTF-8.
    pub fn text_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        utf8(&bytes)?;
        Ok(Self::new(PayloadKind::Text, bytes))
    }

    /// A byte sequence.
    pub fn binary(bytes: Bytes) -> Self {
        Self::new(PayloadKind::Binary, bytes)
    }

    /// A byte sequence with a media type. An invalid media type is left out.
    pub fn binary_of_type(bytes: Bytes, media_type: &str) -> Self {
        let media_type = blob::is_media_type(media_type).then(|| Arc::from(media_type));
        Self {
            media_type,
            ..Self::binary(bytes)
        }
    }

    /// The value `null`.
    pub fn null() -> Self {
        Self::new(PayloadKind::Json, Bytes::from_static(b"null"))
    }

    /// The value of a JSON text.
    ///
    /// # Errors
    /// When it is not JSON, too deep, has half of a surrogate pair, or a number beyond what floats can hold.
    pub fn from_json(bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let bytes = bytes.into();
        let mut reader = JsonReader::new(utf8(&bytes)?);
        let value = JsonValue::read(&mut reader)?;
        reader.end()?;
        Ok(value.into_payload(&bytes))
    }

    /// The value of a MessagePack text.
    ///
    /// # Errors
    /// When it is not exactly one MessagePack value, too deep, or has a string that is not UTF-8.
    pub fn from_msgpack(bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let bytes = bytes.into();
        let mut reader = MessagePackReader::new(&bytes);
        let value = MessagePackValue::read(&mut reader)?;
        reader.end()?;
        Ok(value.into_payload(&bytes))
    }

    /// A value in the form that [`Self::kind`] and [`Self::bytes`] gave.
    ///
    /// # Errors
    /// When the bytes are no value of that form. A value that is kept in another form, as a JSON string is, has that form.
    pub(crate) fn of_kind(kind: PayloadKind, bytes: Bytes) -> Result<Self, DecodeError> {
        match kind {
            PayloadKind::Text => Self::text_bytes(bytes),
            PayloadKind::Binary => Ok(Self::binary(bytes)),
            PayloadKind::Json => Self::from_json(bytes),
            PayloadKind::MessagePack => Self::from_msgpack(bytes),
            PayloadKind::Gzip => {
                let payload = Self::new(kind, bytes);
                payload.check_gzip()?;
                Ok(payload)
            }
        }
    }

    /// The fields of an HTML form, as an object.
    pub fn form(fields: &[FormField]) -> Self {
        let mut out = Vec::new();
        form::write(&mut out, fields);
        Self::new(PayloadKind::MessagePack, out.into())
    }

    fn new(kind: PayloadKind, bytes: Bytes) -> Self {
        Self {
            kind,
            bytes,
            media_type: None,
        }
    }

    /// The value in the form that JSON, text and binary are made of: neither MessagePack nor compressed.
    pub(crate) fn shown(&self) -> Self {
        match self.kind {
            PayloadKind::Gzip => self.inflated().shown(),
            PayloadKind::MessagePack => Self::new(PayloadKind::Json, self.to_json()),
            _ => self.clone(),
        }
    }

    /// The value as it is kept when it comes in MessagePack.
    pub(crate) fn packed(&self) -> Self {
        Self::new(PayloadKind::MessagePack, self.to_msgpack())
    }

    /// The form in which it is kept.
    pub fn kind(&self) -> PayloadKind {
        self.kind
    }

    /// The bytes as they are kept.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same value in memory of its own. What was cut out of a larger buffer keeps all of that buffer alive: the
    /// socket's, or that of a whole batch.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
            ..self.clone()
        }
    }

    /// The media type that bytes came with.
    pub(crate) fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// How many bytes are kept.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// About how much memory the value takes in whatever form is asked for: what bounds have to count. A few bytes of gzip
    /// can be a large value.
    pub fn weight_bytes(&self) -> usize {
        match self.kind {
            PayloadKind::Gzip => self.bytes.len().max(gzip::claimed_bytes(&self.bytes)),
            _ => self.bytes.len() + self.media_type.as_ref().map_or(0, |name| name.len()),
        }
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            PayloadKind::Text => utf8(&self.bytes).ok(),
            _ => None,
        }
    }
}
