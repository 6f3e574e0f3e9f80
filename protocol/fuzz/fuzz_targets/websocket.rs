//! Client frames: no input panics, and what is decoded does not depend on how the bytes were split.
//! The first byte of the input is the length of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use widecast_protocol::framing::websocket::{Decoder, DecoderLimits, Event, FrameError};

const LIMITS: DecoderLimits = DecoderLimits {
    message_bytes: 300,
    fragments: 4,
};

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Option<FrameError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.feed(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(piece.is_empty());
    }
    (events, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((&length, bytes)) = input.split_first() else {
        return;
    };
    let whole = decode(std::iter::once(bytes));
    let pieces = bytes.chunks(usize::from(length).max(1));
    assert_eq!(decode(pieces), whole);
    for event in whole.0 {
        match event {
            Event::Text(text) => assert!(text.len() <= 300 && std::str::from_utf8(&text).is_ok()),
            Event::Binary(bytes) => assert!(bytes.len() <= 300),
            Event::Ping(bytes) | Event::Pong(bytes) => assert!(bytes.len() <= 125),
            Event::Close { code, .. } => assert!(code.is_none_or(|code| code >= 1000)),
        }
    }
});
