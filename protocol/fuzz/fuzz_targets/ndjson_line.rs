//! Lines of a batch: each is what the same message is in a batch of one.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use widecast_protocol::codec::{Codec, decode_batch, decode_batch_line};

fuzz_target!(|input: &[u8]| {
    let line = decode_batch_line(&Bytes::copy_from_slice(input));
    let body = [b"{\"messages\":[", input, b"]}"].concat();
    let batch = decode_batch(Codec::Json, &body.into());
    if let Ok(message) = line {
        assert_eq!(batch, Ok(vec![Ok(message)]));
    }
});
