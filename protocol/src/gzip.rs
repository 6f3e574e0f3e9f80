//! Compressed values: [gzip](https://www.rfc-editor.org/rfc/rfc1952) in a MessagePack extension, and inflating in general.
//!
//! Nothing is inflated without a bound: a thousand bytes can become a million. One member and nothing behind it, which is
//! what the `DecompressionStream` of browsers takes, too.

use std::io::{self, Read};

pub use crate::error::GzipError;
use crate::error::{Codec, DecodeError};
use crate::value::msgpack::{self, Extension, MessagePackHead, MessagePackReader};
use bytes::Bytes;
use flate2::bufread::GzDecoder;

/// The extension of a compressed value. It is none of the structured-clone types: it stands for the whole value of a
/// message, never for a part of it, and JSON shows what is in it.
pub const EXTENSION: i8 = 31;

/// Inflating makes gzip at most this many times longer: the shortest code of
/// [DEFLATE](https://www.rfc-editor.org/rfc/rfc1951#section-3.2.5) for 258 bytes takes two bits.
pub const MOST_GROWTH: usize = 1032;

/// The most bytes that stand before the gzip: the heads of the extension and of the bin.
pub(crate) const EXTENSION_HEAD_BYTES: usize = 11;

/// Inflates gzip to at most `limit` bytes.
///
/// # Errors
/// When it is not exactly one member, or has more than `limit` bytes inflated.
pub fn inflate(compressed: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    let mut decoder = GzDecoder::new(compressed);
    let mut inflated = Vec::new();
    // One more, to tell what has just enough from what has too much.
    let mut bounded = (&mut decoder).take((limit as u64).saturating_add(1));
    let read = bounded.read_to_end(&mut inflated);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => GzipError::EndsEarly,
        _ => GzipError::Corrupt,
    })?;
    if inflated.len() > limit {
        return Err(GzipError::TooLarge { limit });
    }
    if !decoder.into_inner().is_empty() {
        return Err(GzipError::GoesOn);
    }
    Ok(inflated)
}

/// The gzip in a MessagePack value, if the value is a compressed one.
///
/// # Errors
/// When it is one by its code, but has something else in it.
pub(crate) fn extension_body(value: &Bytes) -> Result<Option<Bytes>, DecodeError> {
    let head = MessagePackReader::new(value).next()?;
    let Some(extension) = compressed_extension(head) else {
        return Ok(None);
    };
    let mut body = MessagePackReader::new(extension.body);
    if let Ok(MessagePackHead::Binary(gzip)) = body.next()
        && body.end().is_ok()
    {
        return Ok(Some(value.slice_ref(gzip)));
    }
    Err(DecodeError::Syntax {
        codec: Codec::MessagePack,
        expected: "a bin in extension 31: the gzip of a value",
        at: 0,
    })
}

pub(crate) fn compressed_extension(head: MessagePackHead<'_>) -> Option<Extension<'_>> {
    match head {
        MessagePackHead::Extension(extension) if extension.code == EXTENSION => Some(extension),
        _ => None,
    }
}

/// How many bytes a gzip says it has inflated: true, modulo 2³², once it has been inflated.
pub(crate) fn claimed_bytes(compressed: &[u8]) -> usize {
    let claim = compressed.last_chunk::<4>().copied().unwrap_or_default();
    u32::from_le_bytes(claim) as usize
}

/// Writes a compressed value.
pub(crate) fn write_extension(out: &mut Vec<u8>, compressed: &[u8]) {
    let start = msgpack::begin_extension(out);
    msgpack::write_binary(out, compressed);
    msgpack::end_extension(out, start, EXTENSION);
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::codes::Code;
    use crate::payload::{Payload, PayloadKind};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A compressed value, as it comes from a client.
    fn compressed(msgpack: &[u8]) -> Payload {
        extension(&gzip(msgpack))
    }

    fn extension(gzip: &[u8]) -> Payload {
        let mut out = Vec::new();
        write_extension(&mut out, gzip);
        Payload::from_msgpack(out).unwrap()
    }

    fn refusal(payload: Payload, limit: usize) -> String {
        let error = payload.checked_gzip(limit).unwrap_err();
        format!("{} {error}", error.code())
    }

    #[test]
    fn a_compressed_value_is_shown_as_itself_and_sent_on_as_it_came() {
        let text = "spam ".repeat(100);
        for value in [
            Payload::text(&*text),
            Payload::binary(text.clone().into()),
            Payload::from_json(format!("{{\"a\":[1,{text:?}]}}")).unwrap(),
            Payload::null(),
        ] {
            let came = compressed(&value.to_msgpack());
            let checked = came.clone().checked_gzip(1000).unwrap();
            assert_eq!(checked.kind(), PayloadKind::Gzip);
            assert_eq!(checked.to_msgpack(), came.to_msgpack());
            assert_eq!(checked.to_json(), value.to_json());
            assert_eq!(checked.shown(), value);
            assert_eq!(checked.clone().checked_gzip(0), Ok(checked.clone()));
            assert_eq!(checked.detached(), checked);
            let larger = checked.size_bytes().max(value.to_msgpack().len());
            assert_eq!(checked.weight_bytes(), larger);
        }
    }

    #[test]
    fn other_values_are_left_alone() {
        for value in [
            Payload::text("\u{1f}"),
            Payload::binary(gzip(b"\xc0").into()),
            Payload::from_msgpack(&b"\xd4\x1e\xc0"[..]).unwrap(),
            Payload::from_json(r#"{"$type":"ext","code":30,"value":"wA=="}"#).unwrap(),
            Payload::from_json(r#"{"$type":"gzip","value":null}"#).unwrap(),
        ] {
            assert_eq!(value.clone().checked_gzip(0), Ok(value));
        }
        // Inside of a value it is an extension like any other.
        let inside = [&b"\x91"[..], &compressed(b"\xc0").to_msgpack()].concat();
        let inside = Payload::from_msgpack(inside).unwrap();
        assert_eq!(inside.clone().checked_gzip(0), Ok(inside));
    }

    #[test]
    fn compressed_data_is_recognised_in_json_too() {
        let came = compressed(b"\xa5hello");
        let json = String::from_utf8(came.to_json().to_vec()).unwrap();
        for spelling in [
            json.clone(),
            json.replacen('{', " {\t", 1),
            json.replacen('$', "\\u0024", 1),
            json.replacen("ext", "\\u0065xt", 1),
        ] {
            let payload = Payload::from_json(spelling.clone()).unwrap();
            assert_eq!(payload.kind(), PayloadKind::Json);
            assert_eq!(
                payload.checked_gzip(6),
                came.clone().checked_gzip(6),
                "{spelling}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_gzip_of_one_value_are_refused() {
        let whole = gzip(b"\xa5hello");
        let changed = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            extension(&bytes)
        };
        let twice = compressed(&compressed(b"\xa5hello").to_msgpack());
        let no_bin = Payload::from_msgpack(&b"\xd4\x1f\xc0"[..]).unwrap();
        insta::assert_snapshot!(refusal(no_bin, 99), @"bad_msgpack not MessagePack: expected a bin in extension 31: the gzip of a value at byte 0");
        insta::assert_snapshot!(refusal(extension(b""), 99), @"bad_msgpack the compressed message ends before its gzip does");
        insta::assert_snapshot!(refusal(changed(0), 99), @"bad_msgpack the compressed message is not gzip, or corrupt");
        insta::assert_snapshot!(refusal(changed(whole.len() - 1), 99), @"bad_msgpack the compressed message is not gzip, or corrupt");
        insta::assert_snapshot!(refusal(changed(whole.len() - 8), 99), @"bad_msgpack the compressed message is not gzip, or corrupt");
        insta::assert_snapshot!(refusal(extension(&whole[..whole.len() - 1]), 99), @"bad_msgpack the compressed message ends before its gzip does");
        insta::assert_snapshot!(refusal(extension(&[&*whole, &whole].concat()), 99), @"bad_msgpack the compressed message goes on behind the end of its gzip: expected one member");
        insta::assert_snapshot!(refusal(compressed(b""), 99), @"bad_msgpack the inflated message: not MessagePack: expected more bytes at byte 0");
        insta::assert_snapshot!(refusal(compressed(b"\xc0\xc0"), 99), @"bad_msgpack the inflated message: not MessagePack: expected the end at byte 1");
        insta::assert_snapshot!(refusal(compressed(b"\xa1\xff"), 99), @"bad_utf8 the inflated message: text is not UTF-8 at byte 1");
        insta::assert_snapshot!(refusal(twice, 99), @"bad_msgpack the inflated message: not MessagePack: expected a value that is not compressed once more at byte 0");
    }

    #[test]
    fn no_more_is_inflated_than_the_limit() {
        let mut bomb = vec![0xc6, 0, 0x98, 0x96, 0x80];
        bomb.resize(5 + 10_000_000, 0);
        let bomb = gzip(&bomb);
        assert!(bomb.len() < 10_000);
        assert_eq!(
            inflate(&bomb, 1000),
            Err(GzipError::TooLarge { limit: 1000 })
        );
        insta::assert_snapshot!(refusal(extension(&bomb), 10_000_004), @"message_too_large the compressed message has more than 10000004 bytes inflated");
        assert!(extension(&bomb).most_inflated_bytes() >= 10_000_005);
        assert!(extension(&bomb).checked_gzip(10_000_005).is_ok());
        // The size that the data states for itself is not believed.
        let mut liar = bomb;
        let end = liar.len();
        liar[end - 4..].copy_from_slice(&[1, 0, 0, 0]);
        assert_eq!(
            inflate(&liar, 1000),
            Err(GzipError::TooLarge { limit: 1000 })
        );
        assert_eq!(inflate(&liar, 10_000_005), Err(GzipError::Corrupt));
    }

    proptest! {
        #[test]
        fn compressed_data_is_inflated(bytes: Vec<u8>) {
            let compressed = gzip(&bytes);
            prop_assert_eq!(claimed_bytes(&compressed), bytes.len());
            prop_assert_eq!(inflate(&compressed, bytes.len()), Ok(bytes.clone()));
            if let Some(less) = bytes.len().checked_sub(1) {
                prop_assert_eq!(inflate(&compressed, less), Err(GzipError::TooLarge { limit: less }));
            }
        }

        #[test]
        fn damaged_data_is_refused_or_inflates_to_the_same(at: prop::sample::Index, bit in 0..8, bytes: Vec<u8>) {
            let mut damaged = gzip(&bytes);
            let at = at.index(damaged.len());
            damaged[at] ^= 1u8 << bit;
            // Times and flags of the head do not matter to what is inflated.
            if let Ok(inflated) = inflate(&damaged, bytes.len()) {
                prop_assert_eq!(inflated, bytes);
            }
        }

        #[test]
        fn a_bin_of_anything_is_no_panic(bytes: Vec<u8>) {
            if let Err(error) = extension(&bytes).checked_gzip(1000) {
                prop_assert!(matches!(error.code(), Code::BadMessagePack | Code::BadUtf8 | Code::MessageTooLarge));
            }
        }
    }
}
