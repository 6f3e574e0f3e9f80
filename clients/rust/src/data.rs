//! The data of a message that is published.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use widecast_protocol::{Payload, PayloadKind};

use crate::error::Error;

/// The data of a message, checked before it is sent: any value that serde can write as JSON, a string, bytes, or a
/// value in MessagePack.
///
/// [`Client::publish`](crate::Client::publish) makes it of a value that serde can write; the other forms are for
/// [`publish_data`](crate::Client::publish_data).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data(Payload);

impl Data {
    /// A value as JSON.
    ///
    /// # Errors
    /// When serde cannot write it, or it is nested too deeply.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Self::json(serde_json::to_vec(value).map_err(Error::Encode)?)
    }

    /// The value of a JSON text.
    ///
    /// # Errors
    /// When the text is not JSON.
    pub fn json(text: impl Into<Bytes>) -> Result<Self, Error> {
        let payload = Payload::from_json(text);
        payload.map(Self).map_err(Error::BadData)
    }

    /// The value of a MessagePack text. Types that JSON lacks are extensions, as the protocol describes.
    ///
    /// # Errors
    /// When the text is not exactly one value of MessagePack.
    pub fn msgpack(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let payload = Payload::from_msgpack(bytes);
        payload.map(Self).map_err(Error::BadData)
    }

    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Payload::text(text))
    }

    /// Bytes. A page hears a `Uint8Array`.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self(Payload::binary(bytes.into()))
    }

    /// Bytes of a media type such as `image/png`, which the broker tells those who fetch the message as a file.
    pub fn binary_of_type(bytes: impl Into<Bytes>, media_type: &str) -> Self {
        Self(Payload::binary_of_type(bytes.into(), media_type))
    }

    /// How many bytes the broker keeps of it: what `limits.message_bytes` limits.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// The body of a request, and its type.
    pub(crate) fn body(&self) -> (Bytes, String) {
        let media_type = match self.0.kind() {
            PayloadKind::Text => "text/plain; charset=utf-8".to_owned(),
            PayloadKind::Json => "application/json".to_owned(),
            PayloadKind::Binary => self.0.to_document().media_type,
            // No constructor of this type makes the second.
            PayloadKind::MessagePack | PayloadKind::Gzip => {
                return (self.0.to_msgpack(), "application/msgpack".to_owned());
            }
        };
        (self.0.bytes().clone(), media_type)
    }

    /// The value as JSON, to be put into a frame.
    pub(crate) fn to_json(&self) -> Result<Box<RawValue>, Error> {
        serde_json::from_slice(&self.0.to_json()).map_err(Error::Encode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_its_type() {
        let body = |data: Data| {
            let (bytes, media_type) = data.body();
            format!("{media_type}: {bytes:?}")
        };
        let text = body(Data::of("hello").unwrap());
        insta::assert_snapshot!(text, @r#"text/plain; charset=utf-8: b"hello""#);
        let json = body(Data::of(&[1, 2]).unwrap());
        insta::assert_snapshot!(json, @r#"application/json: b"[1,2]""#);
        let image = body(Data::binary_of_type("GIF89a", "image/gif"));
        insta::assert_snapshot!(image, @r#"image/gif: b"GIF89a""#);
        let bytes = body(Data::binary("x"));
        insta::assert_snapshot!(bytes, @r#"application/octet-stream: b"x""#);
        let packed = body(Data::msgpack(&b"\x92\x01\x02"[..]).unwrap());
        insta::assert_snapshot!(packed, @r#"application/msgpack: b"\x92\x01\x02""#);
        assert!(Data::json("{").is_err());
        assert!(Data::msgpack("").is_err());
    }

    #[test]
    fn bytes_have_a_form_in_json() {
        let json = Data::binary(vec![0, 255]).to_json().unwrap();
        assert_eq!(json.get(), r#"{"$type":"binary","value":"AP8="}"#);
    }
}
