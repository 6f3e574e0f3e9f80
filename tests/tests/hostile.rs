//! Clients that mean harm: memory stays bounded, and everybody else is served.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use widecast_tests::socket::{Bare, client_frame, client_frame_header};
use widecast_tests::{Broker, Join, Settings, Transport};

const MEBIBYTE: u64 = 1 << 20;

/// Publishes and hears a message while the others do what they do.
async fn serves(broker: &mut Broker) -> Result<()> {
    for transport in [
        Transport::RawWebSocket,
        Transport::RawSse,
        Transport::LongPoll,
    ] {
        let mut subscriber = broker.join(transport, &Join::channel("news")).await?;
        broker.publisher().publish("news", "served").await?;
        assert_eq!(subscriber.message().await?.data, json!("served"));
    }
    broker.check_alive().await
}

#[tokio::test]
async fn an_announced_giant_frame_takes_no_memory() -> Result<()> {
    let mut broker = Broker::start().await?;
    let before = broker.resident_bytes()?;
    let mut sockets = Vec::new();
    for length in [1_u64 << 31, 1 << 40, (1 << 63) - 1, 64 * MEBIBYTE] {
        for target in ["/channels/news/ws", "/v1/ws"] {
            let mut socket = Bare::connect(&broker).await?;
            socket.upgrade(target).await?;
            socket.send(&client_frame_header(0x82, length)).await?;
            sockets.push(socket);
        }
    }
    for socket in &mut sockets {
        let said = socket.to_end().await?;
        assert!(
            said.windows(2).any(|bytes| bytes == 1009_u16.to_be_bytes()),
            "{said:?}"
        );
    }
    let grown = broker.resident_bytes()?.saturating_sub(before);
    assert!(grown < 16 * MEBIBYTE, "{grown} bytes more");
    serves(&mut broker).await
}

#[tokio::test]
async fn a_message_in_endless_fragments_is_cut_off() -> Result<()> {
    let mut broker = Broker::start().await?;
    for piece in [vec![b'x'; 60_000], Vec::new()] {
        let mut socket = Bare::connect(&broker).await?;
        socket.upgrade("/channels/news/ws").await?;
        socket.send(&client_frame(0x01, &piece)).await?;
        let frame = client_frame(0x00, &piece);
        // More than the limits allow; the broker hangs up on the way.
        for _ in 0..5000 {
            if socket.send(&frame).await.is_err() {
                break;
            }
        }
        socket.to_end().await?;
    }
    serves(&mut broker).await
}

#[tokio::test]
async fn heads_that_never_end_are_given_up() -> Result<()> {
    let mut broker = Broker::start().await?;
    let mut endless = Bare::connect(&broker).await?;
    endless.send(b"GET / HTTP/1.1\r\n").await?;
    for _ in 0..2000 {
        if endless.send(&[b'x'; 1000]).await.is_err() {
            break;
        }
    }
    let said = endless.to_end().await?;
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    serves(&mut broker).await
}

#[tokio::test]
async fn a_slow_head_holds_a_connection_for_a_limited_time() -> Result<()> {
    let mut broker = Broker::start().await?;
    let mut slow = Bare::connect(&broker).await?;
    slow.send(b"GET /channels/news/sse HTTP/1.1\r\nHost: a\r\n")
        .await?;
    // Given up by the broker without any help; the deadline of the harness is the measure.
    let said = slow.to_end().await?;
    assert!(
        !said.starts_with(b"HTTP/1.1 2"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    serves(&mut broker).await
}

#[tokio::test]
async fn garbage_is_refused() -> Result<()> {
    let mut broker = Broker::start().await?;
    let zeros = vec![0; 100_000];
    let noise: Vec<u8> = (0..100_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".as_slice();
    let inputs: [&[u8]; 7] = [
        &zeros,
        &noise,
        http2,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /channels/news/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
    ];
    for input in inputs {
        let mut garbage = Bare::connect(&broker).await?;
        // The broker may hang up in the midst of it.
        let _ = garbage.send(input).await;
        garbage.stays_open(Duration::from_millis(50)).await;
        garbage.reset();
        let mut socket = Bare::connect(&broker).await?;
        socket.upgrade("/channels/news/ws").await?;
        let _ = socket.send(input).await;
        socket.reset();
    }
    serves(&mut broker).await
}

#[tokio::test]
async fn thousands_of_half_open_connections_take_little_memory() -> Result<()> {
    const CONNECTIONS: usize = 2000;
    let mut broker = Broker::start().await?;
    let before = broker.resident_bytes()?;
    let mut open = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let mut connection = Bare::connect(&broker).await?;
        match number % 3 {
            0 => {}
            1 => connection.send(b"GET /channels/").await?,
            _ => connection.upgrade("/channels/news/ws").await?,
        }
        open.push(connection);
    }
    serves(&mut broker).await?;
    let grown = broker.resident_bytes()?.saturating_sub(before);
    let each = grown / CONNECTIONS as u64;
    assert!(each < 40 * 1024, "{each} bytes for each connection");
    for connection in open {
        connection.reset();
    }
    widecast_tests::eventually("they are gone", async || {
        Ok(broker.subscribers("news").await? == 0)
    })
    .await?;
    serves(&mut broker).await
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_those_before_go_on() -> Result<()> {
    let broker = Broker::with(Settings::new().connections(20)).await?;
    let mut subscriber = broker
        .join(Transport::RawSse, &Join::channel("news"))
        .await?;
    let publisher = broker.publisher();
    publisher.publish("news", "before").await?;
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(Bare::connect(&broker).await?);
    }
    // Nothing is asked, because an answer is lost where a request comes when the connection is closed already.
    let said = Bare::connect(&broker).await?.to_end().await?;
    let said = String::from_utf8(said)?;
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    assert!(said.contains("\r\nretry-after: 1\r\n"), "{said}");
    assert!(said.contains("\"code\":\"too_many_connections\""), "{said}");
    assert!(said.contains("server.max_connections"), "{said}");
    publisher.publish("news", "after").await?;
    assert_eq!(subscriber.data(2).await?, [json!("before"), json!("after")]);
    drop(open);
    let alive = async || {
        Ok(Bare::connect(&broker)
            .await?
            .upgrade("/channels/news/ws")
            .await
            .is_ok())
    };
    widecast_tests::eventually("there is room again", alive).await?;
    // The subscriber and the publisher had two of the twenty.
    let metrics = broker.metrics().await?;
    let refused = metrics.value("widecast_connections_refused_total");
    assert!(refused >= 23.0, "{refused}");
    Ok(())
}

#[tokio::test]
async fn early_data_and_pipelined_requests_are_not_lost() -> Result<()> {
    let broker = Broker::start().await?;
    let mut other = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    let mut socket = Bare::connect(&broker).await?;
    let mut early = b"GET /channels/news/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
    early.extend(client_frame(0x81, b"early"));
    socket.send(&early).await?;
    assert_eq!(other.message().await?.data, json!("early"));

    let mut pipelined = Bare::connect(&broker).await?;
    let get = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    let sse = b"GET /channels/news/sse HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    pipelined.send(&[get, get, sse].concat()).await?;
    pipelined.until(b"text/event-stream").await?;
    broker.publisher().publish("news", "piped").await?;
    pipelined.until(b"data: piped\n\n").await?;

    // A head that comes byte by byte.
    let mut slow = Bare::connect(&broker).await?;
    for byte in sse {
        slow.send(&[*byte]).await?;
    }
    slow.until(b"\r\n\r\n").await?;
    broker.publisher().publish("news", "slowly").await?;
    slow.until(b"data: slowly\n\n").await?;
    Ok(())
}

#[tokio::test]
async fn a_large_message_that_comes_with_the_handshake_is_whole() -> Result<()> {
    let broker = Broker::start().await?;
    let mut other = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    let text = "early ".repeat(100_000);
    let mut early = b"GET /channels/news/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
    early.extend(client_frame(0x81, text.as_bytes()));
    let mut socket = Bare::connect(&broker).await?;
    socket.send(&early).await?;
    assert_eq!(other.message().await?.data, json!(text));
    Ok(())
}

#[tokio::test]
async fn requests_behind_a_stream_do_not_disturb_it() -> Result<()> {
    let mut broker = Broker::start().await?;
    let mut stream = Bare::connect(&broker).await?;
    let request = b"GET /channels/news/stream HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    let upgrade = b"GET /channels/news/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".as_slice();
    let health = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    stream
        .send(&[request, request, upgrade, health].concat())
        .await?;
    stream.until(b"\r\n\r\n").await?;
    for number in 0..20 {
        broker.publisher().publish("news", json!([number])).await?;
        let line = stream.until(b"\n").await?;
        let line: serde_json::Value = serde_json::from_slice(&line)?;
        assert_eq!(line["data"], json!([number]), "{line}");
    }
    assert_eq!(broker.subscribers("news").await?, 1);
    broker.check_alive().await
}

#[tokio::test]
async fn a_stream_takes_no_part_in_compression_or_caches() -> Result<()> {
    let broker = Broker::start().await?;
    for target in [
        "/channels/news/sse",
        "/channels/news/stream",
        "/v1/sse?session=new",
        "/v1/stream?session=new",
    ] {
        let mut stream = Bare::connect(&broker).await?;
        stream.get(target, "Accept-Encoding: gzip, br\r\n").await?;
        let head = String::from_utf8(stream.until(b"\r\n\r\n").await?)?.to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{target}: {head}");
        assert!(head.contains("x-accel-buffering: no"), "{target}: {head}");
        assert!(!head.contains("content-encoding"), "{target}: {head}");
    }
    let missing = broker
        .http()
        .get(format!("{}/channels/news/poll", broker.base()))
        .send()
        .await?;
    let cache = missing
        .headers()
        .get("cache-control")
        .context("no Cache-Control")?;
    assert_eq!(cache, "no-store");
    Ok(())
}

/// Looked for one by one, the repetitions in such a cursor kept a worker busy for seconds.
#[tokio::test]
async fn a_cursor_of_too_many_channels_is_refused() -> Result<()> {
    let mut broker = Broker::start().await?;
    let cursor = |channels: usize| {
        let parts: Vec<_> = (0..channels).map(|n| format!("c{n}=1-1")).collect();
        parts.join(",")
    };
    for transport in [Transport::JsonWebSocket, Transport::MessagePackWebSocket] {
        let mut session = broker.join(transport, &Join::channel("news")).await?;
        let history = json!({ "type": "history", "channel": "c1", "since": cursor(100_000) });
        let reply = session.envelope()?.command(history).await?;
        assert_eq!(reply["code"], "bad_cursor", "{transport:?}: {reply}");
    }
    let mut socket = Bare::connect(&broker).await?;
    let header = format!("Last-Event-ID: {}\r\n", cursor(1025));
    socket.get("/channels/c1/poll?timeout=0", &header).await?;
    let head = socket.until(b"\r\n\r\n").await?;
    assert!(head.starts_with(b"HTTP/1.1 400"), "{}", head.escape_ascii());
    broker.check_alive().await
}

/// A batch that a few kilobytes of gzip could hold would ask for a million publications.
#[tokio::test]
async fn a_batch_of_too_many_publications_is_refused_as_a_whole() -> Result<()> {
    let mut broker = Broker::start().await?;
    let message = json!({ "channels": vec!["news"; 1024], "data": 1 });
    let batch = json!({ "messages": vec![message; 10] });
    let body = serde_json::to_vec(&batch)?;
    let answer = broker.post("/v1/publish", "application/json", body).await?;
    assert_eq!(answer.body["code"], "message_too_large");
    assert_eq!(broker.end_of("news").await?.split('-').nth(1), Some("0"));
    broker.check_alive().await
}

#[tokio::test]
async fn others_are_served_while_a_large_batch_is_published() -> Result<()> {
    let broker = Broker::with(Settings::new().workers(1)).await?;
    // Of few bytes, so that the batch is read at once, and of many publications.
    let channels: Vec<_> = (0..1000).map(|n| format!("c{n}")).collect();
    let batch = json!({ "messages": vec![json!({ "channels": channels, "data": 1 }); 10] });
    let publish = broker.post(
        "/v1/publish",
        "application/json",
        serde_json::to_vec(&batch)?,
    );
    let mut publish = std::pin::pin!(publish);
    let mut served_between = 0;
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut publish => break answer?,
            first = broker.end_of("c0") => {
                let begun = !first?.ends_with("-0");
                let ended = broker.end_of("c999").await?.ends_with("-10");
                served_between += usize::from(begun && !ended);
            }
        }
    };
    assert_eq!(answer.body["results"].as_array().map(Vec::len), Some(10));
    assert!(served_between > 0, "the batch kept its worker for itself");
    Ok(())
}
