//! Heads of requests: what the broker reads in one before the HTTP dispatcher sees it is what the dispatcher reads in it.

#![no_main]

use actix_codec::Decoder;
use actix_http::h1::{Codec, Message, MessageType};
use actix_http::{KeepAlive, Request, ServiceConfig};
use actix_web::http::Method;
use actix_web::rt::System;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use widecast::net::{RequestFraming, RequestHead, inspect};
use widecast::transports::takes_upgrade;

thread_local! {
    /// It can only be made where there is a runtime. Connections are kept, as the listener has it.
    static CONFIG: ServiceConfig = System::new().block_on(async {
        let none = std::time::Duration::ZERO;
        ServiceConfig::new(KeepAlive::Os, none, none, false, None)
    });
}

/// The dispatcher's reading of a head, of which it leaves nothing.
fn decode(shown: &[u8]) -> (Codec, Request) {
    let mut codec = CONFIG.with(|config| Codec::new(config.clone()));
    let mut input = BytesMut::from(shown);
    let Ok(Some(Message::Item(request))) = codec.decode(&mut input) else {
        panic!("the dispatcher does not take what it is shown");
    };
    assert!(input.is_empty(), "the dispatcher sees a shorter head");
    (codec, request)
}

/// The end of a body of this framing is where the broker sees it.
fn compare_body(codec: &mut Codec, framing: RequestFraming) {
    let chunk = |bytes: &mut BytesMut, codec: &mut Codec| codec.decode(bytes);
    let what = codec.message_type();
    match framing {
        RequestFraming::Length(0) => assert!(what == MessageType::None),
        RequestFraming::OtherProtocol => assert!(what == MessageType::Stream),
        RequestFraming::Length(length) => {
            assert!(what == MessageType::Payload);
            // Longer ones differ in nothing.
            if length < 1 << 16 {
                let mut body = BytesMut::zeroed(length as usize + 1);
                let whole = chunk(&mut body, codec);
                assert!(
                    matches!(whole, Ok(Some(Message::Chunk(Some(bytes)))) if bytes.len() as u64 == length)
                );
                assert!(matches!(
                    chunk(&mut body, codec),
                    Ok(Some(Message::Chunk(None)))
                ));
                assert_eq!(body.len(), 1);
            }
        }
        RequestFraming::Chunked => {
            assert!(what == MessageType::Payload);
            let mut body = BytesMut::from(b"0\r\n\r\nG".as_slice());
            assert!(matches!(
                chunk(&mut body, codec),
                Ok(Some(Message::Chunk(None)))
            ));
            assert_eq!(body, b"G".as_slice());
        }
    }
}

fn compare(head: &RequestHead, shown: &[u8]) {
    let (mut codec, request) = decode(shown);
    let is_tunnel = request.method() == Method::CONNECT;
    let is_other = head.framing == RequestFraming::OtherProtocol;
    // Whether a WebSocket may begin, and whether another request may follow.
    assert_eq!(request.head().upgrade(), is_other && !is_tunnel);
    assert_eq!(codec.upgrade(), is_other && !is_tunnel);
    if !is_other {
        assert_eq!(codec.keep_alive(), !head.is_last);
    }
    assert!(head.is_last || !is_other);
    assert!(!is_other || is_tunnel || takes_upgrade(request.path()));
    // The dispatcher would tell the client to go on before anybody has looked at the head.
    assert!(!request.head().expect());
    compare_body(&mut codec, head.framing);
}

fuzz_target!(|input: &[u8]| {
    let Ok(Some(head)) = inspect(input, takes_upgrade) else {
        return;
    };
    // What follows the head changes nothing, and a part of it says nothing else.
    let alone = inspect(&input[..head.length], takes_upgrade);
    assert_eq!(
        alone.as_ref().ok(),
        Some(&Some(RequestHead {
            rewritten: head.rewritten.clone(),
            ..head
        }))
    );
    let shown = head.rewritten.as_deref().unwrap_or(&input[..head.length]);
    compare(&head, shown);
});
