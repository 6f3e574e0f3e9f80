//! Chunked bodies: their end is where the HTTP dispatcher sees it, however they are cut.

#![no_main]

use actix_codec::Decoder;
use actix_http::ServiceConfig;
use actix_http::h1::{Codec, Message};
use actix_web::rt::System;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use widecast::net::{BadChunk, Chunks};

thread_local! {
    /// It can only be made where there is a runtime.
    static CONFIG: ServiceConfig = System::new().block_on(async { ServiceConfig::default() });
}

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// How many bytes belong to the body when it comes in pieces of so many bytes, and whether that is all of it.
fn scan(body: &[u8], piece_bytes: usize) -> Result<(usize, bool), BadChunk> {
    let mut chunks = Chunks::default();
    let mut at = 0;
    while at < body.len() && !chunks.is_at_end() {
        let end = body.len().min(at + piece_bytes);
        at += chunks.scan(&body[at..end])?;
    }
    Ok((at, chunks.is_at_end()))
}

/// The same as the dispatcher sees it; `None` when it refuses the body.
fn decode(body: &[u8]) -> Option<(usize, bool)> {
    let mut codec = CONFIG.with(|config| Codec::new(config.clone()));
    let mut input = BytesMut::from(HEAD);
    let head = codec.decode(&mut input);
    assert!(matches!(head, Ok(Some(Message::Item(_)))) && input.is_empty());
    input.extend_from_slice(body);
    loop {
        match codec.decode(&mut input) {
            Ok(Some(Message::Chunk(None))) => return Some((body.len() - input.len(), true)),
            Ok(Some(_)) => {}
            Ok(None) => return Some((body.len(), false)),
            Err(_) => return None,
        }
    }
}

fuzz_target!(|body: &[u8]| {
    let scanned = scan(body, body.len());
    for piece_bytes in [1, 2, 3, 7] {
        assert_eq!(scan(body, piece_bytes), scanned);
    }
    // It may be stricter than the dispatcher.
    if let Ok(scanned) = scanned {
        assert_eq!(decode(body), Some(scanned));
    }
});
