//! Batches: no input panics in either codec, and every message has a channel.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use widecast_protocol::codec::{Codec, decode_batch};

fuzz_target!(|input: &[u8]| {
    let body = Bytes::copy_from_slice(input);
    for codec in [Codec::Json, Codec::MessagePack] {
        for message in decode_batch(codec, &body).into_iter().flatten().flatten() {
            assert!(!message.channels.is_empty());
            message.payload.to_json();
            message.payload.to_msgpack();
        }
    }
});
