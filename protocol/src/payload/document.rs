//! A payload as a file, for a client that fetches one message with its own media type.

use bytes::Bytes;

use super::{Payload, PayloadKind};
use crate::value::blob;

/// A value as a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its media type: visible ASCII and spaces.
    pub media_type: String,
    /// The bytes of the file.
    pub bytes: Bytes,
}

impl Payload {
    /// The value as a file of its own: a string as text, bytes with the type with which they came, a `Blob` or `File` with
    /// the type that it states, anything else as JSON.
    pub fn to_document(&self) -> Document {
        let document = |media_type: &str, bytes: Bytes| Document {
            media_type: media_type.to_owned(),
            bytes,
        };
        match self.kind {
            PayloadKind::Gzip => self.inflated().to_document(),
            PayloadKind::Text => document("text/plain; charset=utf-8", self.bytes.clone()),
            PayloadKind::Binary => {
                let media_type = self.media_type.as_deref().unwrap_or(blob::UNKNOWN_TYPE);
                document(media_type, self.bytes.clone())
            }
            PayloadKind::Json | PayloadKind::MessagePack => {
                let packed = self.to_msgpack();
                match blob::find(&packed) {
                    Some(found) => document(found.media_type, packed.slice_ref(found.bytes)),
                    None => document("application/json", self.to_json()),
                }
            }
        }
    }
}
