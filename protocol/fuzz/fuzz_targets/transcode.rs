//! From one codec to the other and back: the second time, nothing changes any more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use widecast_protocol::Payload;

fuzz_target!(|input: &[u8]| {
    if let Ok(payload) = Payload::from_json(input.to_vec()) {
        let msgpack = payload.to_msgpack();
        // An object that only looks tagged gets deeper when it is marked as not tagged.
        if let Ok(payload) = Payload::from_msgpack(msgpack.clone()) {
            let back = Payload::from_json(payload.to_json()).expect("JSON of ours is JSON");
            assert_eq!(back.to_msgpack(), msgpack);
        }
    }
    if let Ok(payload) = Payload::from_msgpack(input.to_vec()) {
        let json = payload.to_json();
        let back = Payload::from_json(json.clone())
            .expect("JSON of ours is JSON")
            .to_msgpack();
        let again = Payload::from_msgpack(back).expect("MessagePack of ours is MessagePack");
        assert_eq!(again.to_json(), json);
    }
});
