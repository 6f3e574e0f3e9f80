//! JSON payloads: what is JSON is what `serde_json` takes for it, and it stays on one line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use widecast_protocol::{DecodeError, Payload};

fuzz_target!(|input: &[u8]| {
    let theirs = serde_json::from_slice::<Value>(input);
    match Payload::from_json(input.to_vec()) {
        Ok(payload) => {
            let json = payload.to_json();
            assert!(!json.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
            assert_eq!(Payload::from_json(json), Ok(payload));
            // Their limit on depth is one less.
            assert!(theirs.is_ok() || is_deep(input));
        }
        Err(DecodeError::TooDeep { .. }) => assert!(is_deep(input)),
        Err(_) => assert!(theirs.is_err()),
    }
});

fn is_deep(input: &[u8]) -> bool {
    input
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count()
        >= 127
}
