//! A payload as JSON and as MessagePack.

use bytes::Bytes;

use super::{CHECKED, Payload, PayloadKind};
use crate::error::utf8;
use crate::gzip;
use crate::value::{json, msgpack, to_json, to_msgpack};

impl Payload {
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
            PayloadKind::Binary => to_json::binary_length(size),
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
