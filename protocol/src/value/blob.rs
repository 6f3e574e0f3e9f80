//! The values that are files: `Blob` and `File`.

use super::msgpack::{MessagePackHead, MessagePackReader};
use super::types;

/// The media type of bytes of an unknown type.
pub(crate) const UNKNOWN_TYPE: &str = "application/octet-stream";

/// The longest media type that is kept.
const MAX_TYPE_BYTES: usize = 255;

/// The contents of a `Blob` or a `File`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blob<'a> {
    pub(crate) media_type: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// Whether a text may stand in a header as a media type.
pub(crate) fn is_media_type(text: &str) -> bool {
    let is_visible = |byte: u8| matches!(byte, b' '..=b'~');
    text.len() <= MAX_TYPE_BYTES && text.contains('/') && text.bytes().all(is_visible)
}

/// The `Blob` or `File` that a MessagePack value is, if it is one.
pub(crate) fn find(value: &[u8]) -> Option<Blob<'_>> {
    let Ok(MessagePackHead::Extension(extension)) = MessagePackReader::new(value).next() else {
        return None;
    };
    if !matches!(extension.code, types::BLOB | types::FILE) {
        return None;
    }
    let mut body = MessagePackReader::new(extension.body);
    let Ok(MessagePackHead::Map(fields)) = body.next() else {
        return None;
    };
    let (mut media_type, mut bytes) = ("", None);
    for _ in 0..fields {
        let key = body.next().ok()?;
        body.finish(key).ok()?;
        let field = body.next().ok()?;
        body.finish(field).ok()?;
        match (key, field) {
            (MessagePackHead::Text("type"), MessagePackHead::Text(text)) => media_type = text,
            (MessagePackHead::Text("bytes"), MessagePackHead::Binary(found)) => bytes = Some(found),
            _ => {}
        }
    }
    if !is_media_type(media_type) {
        media_type = UNKNOWN_TYPE;
    }
    Some(Blob {
        media_type,
        bytes: bytes?,
    })
}
