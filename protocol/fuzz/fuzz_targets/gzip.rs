//! Compressed payloads: no input panics or inflates beyond the limit, and what is accepted has all its forms.

#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use widecast_protocol::{DecodeError, Payload, gzip};

const LIMIT: usize = 10_000;

fuzz_target!(|input: &[u8]| {
    // Once as what a client may send, once as what is inside of a sound gzip: no fuzzer finds checksums.
    let _ = check(input);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let compressed = encoder.write_all(input).and_then(|()| encoder.finish());
    let compressed = compressed.expect("writing to memory does not fail");
    let payload = check(&compressed);
    match Payload::from_msgpack(input.to_vec()) {
        Ok(value) if !is_compressed(input) => {
            let payload = payload.expect("the gzip of a value is one");
            assert_eq!(payload.to_json(), value.to_json());
        }
        _ => assert!(payload.is_err()),
    }
});

fn check(compressed: &[u8]) -> Result<Payload, DecodeError> {
    if let Ok(inflated) = gzip::inflate(compressed, LIMIT) {
        assert!(inflated.len() <= LIMIT);
    }
    let payload = Payload::from_msgpack(extension(compressed))?.checked_gzip(LIMIT)?;
    let again = Payload::from_msgpack(payload.to_msgpack())?.checked_gzip(LIMIT);
    assert_eq!(again.as_ref(), Ok(&payload));
    assert!(serde_json::from_slice::<Box<serde_json::value::RawValue>>(&payload.to_json()).is_ok());
    Ok(payload)
}

fn extension(compressed: &[u8]) -> Vec<u8> {
    let length = u32::try_from(compressed.len()).expect("inputs are short");
    let mut out = vec![0xc9];
    out.extend((length + 5).to_be_bytes());
    out.extend([31, 0xc6]);
    out.extend(length.to_be_bytes());
    out.extend(compressed);
    out
}

/// Whether a MessagePack value is an extension of this code.
fn is_compressed(value: &[u8]) -> bool {
    let code_at = match value.first() {
        Some(0xd4..=0xd8) => 1,
        Some(0xc7) => 2,
        Some(0xc8) => 3,
        Some(0xc9) => 5,
        _ => return false,
    };
    value.get(code_at) == Some(&31)
}
