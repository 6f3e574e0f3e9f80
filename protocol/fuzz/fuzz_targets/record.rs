//! Stored messages: no record panics a broker, and what is read is written as it was read, but for what later releases add.

#![no_main]

use libfuzzer_sys::fuzz_target;
use widecast_protocol::message::{Epoch, Offset};
use widecast_protocol::{ChannelName, Position, record};

fuzz_target!(|input: &[u8]| {
    let Ok(channel) = ChannelName::parse("news") else {
        return;
    };
    let position = Position {
        epoch: Epoch(1),
        offset: Offset(1),
    };
    let Ok((message, key)) = record::decode(input, channel.clone(), position) else {
        return;
    };
    message.payload.to_json();
    message.payload.to_msgpack();
    let written = record::encode(&message, key.as_ref());
    assert_eq!(
        record::decode(&written, channel, position),
        Ok((message, key))
    );
});
