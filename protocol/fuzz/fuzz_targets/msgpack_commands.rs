//! Frames of MessagePack: no input panics, and what is published can be written down in either codec. No token is shown.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use widecast_protocol::codec::{Codec, decode_commands};
use widecast_protocol::{CommandKind, Payload};

fuzz_target!(|input: &[u8]| {
    let commands = decode_commands(Codec::MessagePack, &Bytes::copy_from_slice(input));
    for command in commands.into_iter().flatten().flatten() {
        match command.kind {
            CommandKind::Publish(publish) => {
                let msgpack = publish.payload.to_msgpack();
                assert_eq!(Payload::from_msgpack(msgpack), Ok(publish.payload.clone()));
                assert!(Payload::from_json(publish.payload.to_json()).is_ok());
            }
            CommandKind::Subscribe(subscribe) => {
                if let Some(token) = subscribe.token {
                    assert_eq!(format!("{token:?}"), "Token(…)");
                }
            }
            _ => {}
        }
    }
});
