//! The data of a message, in the form its publisher sent it, checked once and passed on as it is.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::DecodeError;
use crate::codec::error::utf8;
use crate::gzip;
use crate::value::blob;
use crate::value::form::{self, FormField};
use crate::value::json::{self, JsonReader, RawText, Token};
use crate::value::msgpack::{self, Head, MessagePackReader};
use crate::value::{to_json, to_msgpack};

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

/// A value as a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its media type: visible ASCII and spaces.
    pub media_type: String,
    /// What is in it.
    pub bytes: Bytes,
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
const CHECKED: &str = "a payload is checked when it is made, deeper than its other form goes";

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

    /// A byte sequence that came with a media type. One that is none is left out.
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

    /// What an HTML form has sent, as an object.
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
        gzip::inflate_value(&compressed, limit)?;
        Ok(Self::new(PayloadKind::Gzip, compressed))
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

    /// The value in a gzip that was checked.
    fn inflated(&self) -> Self {
        let limit = gzip::claimed_bytes(&self.bytes);
        gzip::inflate_value(&self.bytes, limit).expect(CHECKED)
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

    /// The value as a file of its own: a string as text, bytes as what they came as, a `Blob` or `File` as what it says it
    /// is, anything else as JSON.
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

    /// The value as JSON, without a line break.
    ///
    /// # Panics
    /// Never: every payload has a JSON form.
    pub fn to_json(&self) -> Bytes {
        if self.kind == PayloadKind::Json {
            return self.bytes.clone();
        }
        let mut out = Vec::with_capacity(self.json_capacity());
        self.write_json(&mut out);
        out.into()
    }

    /// The value as MessagePack.
    ///
    /// # Panics
    /// Never: every payload has a MessagePack form.
    pub fn to_msgpack(&self) -> Bytes {
        if self.kind == PayloadKind::MessagePack {
            return self.bytes.clone();
        }
        let mut out = Vec::with_capacity(self.msgpack_capacity());
        self.write_msgpack(&mut out);
        out.into()
    }

    /// Writes the value as JSON.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self.kind {
            PayloadKind::Text => json::write_text(out, &self.bytes),
            PayloadKind::Binary => to_json::write_binary(out, &self.bytes),
            PayloadKind::Json => out.extend_from_slice(&self.bytes),
            PayloadKind::MessagePack => to_json::write(out, &self.bytes).expect(CHECKED),
            PayloadKind::Gzip => self.inflated().write_json(out),
        }
    }

    /// Writes the value as MessagePack.
    pub(crate) fn write_msgpack(&self, out: &mut Vec<u8>) {
        match self.kind {
            PayloadKind::Text => msgpack::write_text(out, &self.bytes),
            PayloadKind::Binary => msgpack::write_binary(out, &self.bytes),
            PayloadKind::Json => {
                let text = utf8(&self.bytes).expect(CHECKED);
                to_msgpack::write(out, text).expect(CHECKED);
            }
            PayloadKind::MessagePack => out.extend_from_slice(&self.bytes),
            PayloadKind::Gzip => gzip::write_extension(out, &self.bytes),
        }
    }

    /// Room for the JSON: exact, but for MessagePack and gzip.
    pub(crate) fn json_capacity(&self) -> usize {
        let size = self.bytes.len();
        match self.kind {
            PayloadKind::Text => json::text_length(&self.bytes),
            PayloadKind::Binary => to_json::base64_length(size) + 29,
            PayloadKind::Json => size,
            PayloadKind::MessagePack => size + size / 2 + 16,
            PayloadKind::Gzip => {
                let size = gzip::claimed_bytes(&self.bytes);
                size + size / 2 + 16
            }
        }
    }

    /// Room for the MessagePack: JSON is hardly ever shorter.
    pub(crate) fn msgpack_capacity(&self) -> usize {
        self.bytes.len() + gzip::EXTENSION_HEAD_BYTES
    }
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
    let Ok(Token::Object) = reader.next() else {
        return false;
    };
    let mut open = JsonReader::open(Token::Object);
    reader.more(&mut open) == Ok(true)
        && reader.key().is_ok_and(|key| key.decode() == "$type")
        && matches!(reader.next(), Ok(Token::Text(name)) if name.decode() == "ext")
}

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
    first: Token<'a>,
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
        if let Token::Text(text) = self.first {
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
        if self.first != Token::Object {
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
                Token::Text(text) => Some(text),
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
    head: Head<'a>,
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
            Head::Text(text) => (PayloadKind::Text, text.as_bytes()),
            Head::Binary(bytes) => (PayloadKind::Binary, bytes),
            _ => (PayloadKind::MessagePack, self.bytes),
        };
        Payload::new(kind, part_of(whole, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &'static str) -> Payload {
        Payload::from_json(text).unwrap()
    }

    #[test]
    fn a_string_and_bytes_are_the_same_in_both_codecs() {
        let text = Payload::text("a\n\"é\u{1f600}");
        assert_eq!(json(r#" "a\n\"\u00e9\ud83d\ude00" "#), text);
        assert_eq!(Payload::from_json(text.to_json()), Ok(text.clone()));
        assert_eq!(Payload::from_msgpack(text.to_msgpack()), Ok(text));
        let binary = Payload::binary(Bytes::from_static(b"\0\xff"));
        assert_eq!(json(r#"{ "$type" : "binary", "value":"AP8=" }"#), binary);
        assert_eq!(Payload::from_json(binary.to_json()), Ok(binary.clone()));
        assert_eq!(Payload::from_msgpack(binary.to_msgpack()), Ok(binary));
    }

    #[test]
    fn json_is_kept_as_it_was_written_less_its_line_breaks() {
        let payload = json("{\r\n  \"a\\n\": [1,\n 2.0]\r}\n");
        assert_eq!(payload.to_json(), r#"{  "a\n": [1, 2.0]}"#);
        assert_eq!(
            payload.to_msgpack(),
            &b"\x81\xa2a\n\x92\x01\xcb\x40\0\0\0\0\0\0\0"[..]
        );
        let back = Payload::from_msgpack(payload.to_msgpack()).unwrap();
        assert_eq!(back.to_json(), r#"{"a\n":[1,2.0]}"#);
    }

    #[test]
    fn types_that_json_lacks_are_tagged_objects() {
        for (text, msgpack) in [
            (
                r#"[{"$type":"Date","value":0.5}]"#,
                &b"\x91\xc7\x09\x02\xcb\x3f\xe0\0\0\0\0\0\0"[..],
            ),
            (r#"{"$type":"undefined","value":null}"#, b"\xd4\x01\xc0"),
            (
                r#"{"$type":"map","value":[[1,2],["a",{}]]}"#,
                b"\x82\x01\x02\xa1a\x80",
            ),
            (
                r#"{"$type":"object","value":{"$type":1}}"#,
                b"\x81\xa5$type\x01",
            ),
            (
                r#"{"$type":"ext","code":99,"value":"AAE="}"#,
                b"\xd5\x63\0\x01",
            ),
            (
                r#"{"$type":"number","value":"-Infinity"}"#,
                b"\xcb\xff\xf0\0\0\0\0\0\0",
            ),
            (r"[-0.0,-1]", b"\x92\xcb\x80\0\0\0\0\0\0\0\xff"),
        ] {
            assert_eq!(json(text).to_msgpack(), msgpack, "{text}");
            let payload = Payload::from_msgpack(Bytes::from_static(msgpack)).unwrap();
            assert_eq!(payload.to_json(), text);
        }
    }

    #[test]
    fn a_value_is_a_file_of_its_type() {
        let shown = |payload: &Payload| {
            let Document { media_type, bytes } = payload.to_document();
            format!("{media_type} {}", bytes.escape_ascii())
        };
        let png = Payload::binary_of_type(Bytes::from_static(b"\x89"), "image/png");
        assert_eq!(shown(&png), r"image/png \x89");
        assert_eq!(shown(&png.detached()), r"image/png \x89");
        let bytes = Bytes::from_static(b"\0");
        let unknown = r"application/octet-stream \x00";
        assert_eq!(shown(&Payload::binary(bytes.clone())), unknown);
        for bad in ["", "png", "a/b\r\nx: y", "a/\u{e9}", &"a/b".repeat(100)] {
            assert_eq!(shown(&Payload::binary_of_type(bytes.clone(), bad)), unknown);
        }
        assert_eq!(shown(&Payload::text("a")), "text/plain; charset=utf-8 a");
        assert_eq!(
            shown(&json("{\"a\":[1]}")),
            r#"application/json {\"a\":[1]}"#
        );
        assert_eq!(shown(&json("null")), "application/json null");
        let blob = r#"{"$type":"Blob","value":{"type":"text/css","bytes":{"$type":"binary","value":"AP8="}}}"#;
        assert_eq!(shown(&json(blob)), r"text/css \x00\xff");
        let packed = Payload::from_msgpack(json(blob).to_msgpack()).unwrap();
        assert_eq!(shown(&packed), r"text/css \x00\xff");
        let untyped = r#"{"$type":"File","value":{"name":"f","type":"","last_modified":null,"bytes":{"$type":"binary","value":""}}}"#;
        assert_eq!(shown(&json(untyped)), "application/octet-stream ");
        let no_bytes = r#"{"$type":"Blob","value":{"type":"text/css","bytes":1}}"#;
        assert!(shown(&json(no_bytes)).starts_with("application/json {"));
    }

    #[test]
    fn a_detached_payload_lets_go_of_the_buffer_it_was_cut_from() {
        let buffer = Bytes::from(vec![7; 1000]);
        let payload = Payload::binary(buffer.slice(..1));
        let detached = payload.detached();
        assert_eq!(detached, payload);
        drop(payload);
        assert!(buffer.is_unique());
    }
}
