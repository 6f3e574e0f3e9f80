//! MessagePack payloads: no input panics, and every value has a JSON form that is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use widecast_protocol::Payload;

fuzz_target!(|input: &[u8]| {
    let Ok(payload) = Payload::from_msgpack(input.to_vec()) else {
        return;
    };
    assert!(payload.size_bytes() <= input.len());
    let json = payload.to_json();
    assert!(serde_json::from_slice::<Box<serde_json::value::RawValue>>(&json).is_ok());
    assert!(Payload::from_json(json).is_ok());
});
