//! HTTP/1.1 as the standards have it: what a connection carries, what a broker says to what is no request, and when it stops
//! waiting ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110), [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112)).

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::stream::{FuturesUnordered, StreamExt};
use widecast_tests::socket::{Bare, client_frame, client_frame_header};
use widecast_tests::{Broker, Settings, eventually};

const SOON: &str = "300";
/// What must not happen is watched for this long.
const WHILE: Duration = Duration::from_millis(500);

/// An answer of [`Bare`], as far as these tests look.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Reads one answer with a `Content-Length`.
async fn answer(connection: &mut Bare) -> Result<Answer> {
    let head = String::from_utf8(connection.until(b"\r\n\r\n").await?)?.to_ascii_lowercase();
    let field = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let status = head.get(9..12).context("a status")?.parse()?;
    let length = field("content-length").map_or(Ok(0), str::parse)?;
    let body = String::from_utf8(connection.exactly(length).await?)?;
    Ok(Answer { status, head, body })
}

fn post(channel: &str, fields: &str) -> String {
    format!(
        "POST /channels/{channel}/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}\r\n"
    )
}

async fn ask(broker: &Broker, request: &str) -> Result<Answer> {
    let mut connection = Bare::connect(broker).await?;
    connection.send(request.as_bytes()).await?;
    answer(&mut connection).await
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other() -> Result<()> {
    let broker = Broker::start().await?;
    let mut connection = Bare::connect(&broker).await?;
    let (one, two) = (
        post("a", "Content-Length: 1\r\n"),
        post("a", "Transfer-Encoding: chunked\r\n"),
    );
    let get = "GET /channels/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let all = format!("{one}1{two}1\r\n2\r\n0\r\n\r\n{get}");
    // Whole, and cut into single bytes.
    for piece in [all.len(), 1] {
        for bytes in all.as_bytes().chunks(piece) {
            connection.send(bytes).await?;
        }
        for _ in 0..3 {
            assert_eq!(answer(&mut connection).await?.status, 200);
        }
    }
    let messages = broker.get(&["channels", "a", "messages"], &[]).await?;
    assert_eq!(messages["messages"].as_array().map(Vec::len), Some(4));
    Ok(())
}

#[tokio::test]
async fn a_path_and_a_query_may_have_bare_utf8() -> Result<()> {
    let broker = Broker::start().await?;
    for (channel, encoded) in [
        ("früh", "fr%C3%BCh"),
        ("日本:ü", "%E6%97%A5%E6%9C%AC:%C3%BC"),
    ] {
        let publish = post(channel, "Content-Length: 1\r\n") + "1";
        let sent = ask(&broker, &publish).await?;
        assert_eq!(sent.status, 200, "{sent:?}");
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for target in [
            format!("/channels/{channel}/messages"),
            format!("/channels/{encoded}/messages"),
        ] {
            let read = ask(&broker, &get(&target)).await?;
            let one = format!("\"channel\":\"{channel}\",\"offset\":1,");
            assert!(read.body.contains(&one), "{target}: {read:?}");
        }
        let poll = ask(&broker, &get(&format!("/v1/poll?channel={channel}"))).await?;
        let cursor = format!("\"cursor\":\"{}=", encoded.replace(':', "%3A"));
        assert!(poll.body.contains(&cursor), "{poll:?}");
        let mut socket = Bare::connect(&broker).await?;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        socket
            .get(&format!("/channels/{channel}/ws"), upgrade)
            .await?;
        let head = String::from_utf8(socket.until(b"\r\n\r\n").await?)?;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    }
    let mut connection = Bare::connect(&broker).await?;
    connection
        .send(b"GET /channels/fr\xFCh HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await?;
    let refused = answer(&mut connection).await?;
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("no request of HTTP/1.1"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_answered_behind_a_request_that_waits_or_is_the_last() -> Result<()> {
    let broker = Broker::start().await?;
    let cursor = broker.end_of("a").await?;
    let mut connection = Bare::connect(&broker).await?;
    let poll = format!("/channels/a/poll?cursor={cursor}&timeout=20");
    connection.get(&poll, "").await?;
    connection
        .get("/channels/b", "Connection: close\r\n")
        .await?;
    connection
        .send(post("a", "Content-Length: 1\r\n").as_bytes())
        .await?;
    connection.send(b"9").await?;
    eventually("the poll", async || Ok(broker.subscribers("a").await? == 1)).await?;
    broker.publisher().publish("a", 1).await?;
    let first = answer(&mut connection).await?;
    assert!(first.body.contains("\"data\":1"), "{first:?}");
    let second = answer(&mut connection).await?;
    assert!(second.body.contains("\"channel\":\"b\""), "{second:?}");
    assert_eq!(connection.to_end().await?, b"");
    let messages = broker.get(&["channels", "a", "messages"], &[]).await?;
    assert_eq!(messages["messages"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_with_requests_behind_a_poll_is_missed() -> Result<()> {
    let broker = Broker::start().await?;
    let cursor = broker.end_of("a").await?;
    for count in [0, 1, 40_000] {
        let mut connection = Bare::connect(&broker).await?;
        let poll = format!("/channels/a/poll?cursor={cursor}&timeout=60");
        connection.get(&poll, "").await?;
        eventually("the poll", async || Ok(broker.subscribers("a").await? == 1)).await?;
        let behind = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
        // The broker does not take it all.
        let sending = connection.send(behind.as_bytes());
        let _ = tokio::time::timeout(WHILE, sending).await;
        connection.reset();
        eventually("its end", async || Ok(broker.subscribers("a").await? == 0)).await?;
    }
    Ok(())
}

/// A backend that keeps its connections is to keep them when it is refused.
#[tokio::test]
async fn a_request_that_is_refused_by_its_head_is_not_the_last_when_all_of_it_has_come()
-> Result<()> {
    let broker = Broker::start().await?;
    let get = "GET /channels/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let body = "7".repeat(20_000);
    for (head, status) in [
        (post("%00", ""), 400),
        (post("a", "Content-Encoding: br\r\n"), 415),
        (post("a", "Origin: https://evil.example\r\n"), 403),
        (post("a", "").replace("/messages", "/nothing"), 404),
        (post("a", "").replace("POST", "PUT"), 405),
        (post("a", "").replace("/messages", "/presence"), 405),
        (
            post("a", "").replace("/channels/a/messages", "/v1/sessions/x/commands"),
            404,
        ),
    ] {
        let head = head.strip_suffix("\r\n").context("the end of the head")?;
        for request in [
            format!("{head}Content-Length: 1\r\n\r\n7"),
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n"),
        ] {
            let shown = &request[..request.len().min(300)];
            // A large one may be refused before all of it has come, and is the last then.
            let may_be_last = request.len() > 8192;
            let mut connection = Bare::connect(&broker).await?;
            connection
                .send(format!("{request}{get}").as_bytes())
                .await?;
            let refused = answer(&mut connection).await?;
            assert_eq!(refused.status, status, "{shown}: {refused:?}");
            if may_be_last && refused.head.contains("connection: close") {
                continue;
            }
            assert!(
                !refused.head.contains("connection: close"),
                "{shown}: {refused:?}"
            );
            assert_eq!(answer(&mut connection).await?.status, 200, "{shown}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_broker_as_a_whole_says_what_it_answers() -> Result<()> {
    let broker = Broker::start().await?;
    let ask = async |method: &str, target: &str| {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        ask(&broker, &request).await
    };
    let told = ask("OPTIONS", "*").await?;
    assert_eq!(told.status, 204, "{told:?}");
    let allow = "allow: get, head, post, delete, options\r\n";
    assert!(told.head.contains(allow), "{told:?}");
    assert!(!told.head.contains("content-length"), "{told:?}");
    for (method, target, status, words) in [
        ("GET", "*", 400, "only OPTIONS can ask for *"),
        ("OPTIONS", "/*", 404, "nothing is at /*"),
        ("OPTIONS", "/nothing", 404, "nothing is at /nothing"),
        ("CONNECT", "localhost:80", 404, "the broker is no proxy"),
    ] {
        let refused = ask(method, target).await?;
        assert_eq!(refused.status, status, "{method} {target}: {refused:?}");
        assert!(
            refused.body.contains(words),
            "{method} {target}: {refused:?}"
        );
    }
    Ok(())
}

/// Bodies of one chunk that are not as the standard has them, and words of what is said of them.
const BAD_CHUNKS: [(&str, &str); 13] = [
    ("z\r\n1\r\n0\r\n\r\n", "begin with its size"),
    ("\r\n1\r\n0\r\n\r\n", "begin with its size"),
    ("-1\r\n1\r\n0\r\n\r\n", "begin with its size"),
    ("0x1\r\n1\r\n0\r\n\r\n", "behind its size"),
    ("1\n1\n0\n\n", "behind its size"),
    (
        "11112222333344445\r\n1\r\n0\r\n\r\n",
        "16 hexadecimal digits",
    ),
    ("1\r\n12\r\n0\r\n\r\n", "as long as its size says"),
    ("2\r\n1\r\n0\r\n\r\n", "as long as its size says"),
    ("1\r\n1\n0\r\n\r\n", "as long as its size says"),
    ("1\r\n1\r\n0\r\nno trailer\r\n\r\n", "`name: value`"),
    ("1\r\n1\r\n0\r\nA: b\r\n folded\r\n\r\n", "`name: value`"),
    ("1\r\n1\r\n0\r\nA : b\r\n\r\n", "`name: value`"),
    ("1\r\n1\r\n0\r\n\n", "`name: value`"),
];

#[tokio::test]
async fn a_body_of_bad_chunks_is_refused_and_said_why() -> Result<()> {
    let broker = Broker::start().await?;
    let long_line = format!("1;{}\r\n1\r\n0\r\n\r\n", "x".repeat(5000));
    let long_trailers = format!("1\r\n1\r\n0\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let long = [
        (&*long_line, "4096 bytes at the most, extensions included"),
        (&*long_trailers, "the trailers may have 4096 bytes"),
    ];
    let get = "GET /channels/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (body, words) in BAD_CHUNKS.into_iter().chain(long) {
        let head = post("a", "Transfer-Encoding: chunked\r\n");
        // With its head, behind it, and from a client that sends nothing more.
        for (cut, is_finished) in [(0, false), (head.len(), false), (0, true)] {
            let all = format!("{head}{body}{get}");
            let mut connection = Bare::connect(&broker).await?;
            connection.send(&all.as_bytes()[..cut]).await?;
            if cut > 0 {
                broker.end_of("a").await?;
            }
            connection.send(&all.as_bytes()[cut..]).await?;
            if is_finished {
                connection.finish().await?;
            }
            let refused = answer(&mut connection).await?;
            assert_eq!(refused.status, 400, "{body:?}: {refused:?}");
            assert!(refused.head.contains("connection: close"), "{refused:?}");
            assert!(refused.body.contains(words), "{body:?}: {refused:?}");
            let is_final = refused.body.contains("\"retryable\":false");
            assert!(is_final, "{refused:?}");
            assert_eq!(connection.to_end().await?, b"", "{body:?}");
        }
    }
    let messages = broker.get(&["channels", "a", "messages"], &[]).await?;
    assert_eq!(messages["messages"].as_array().map(Vec::len), Some(0));
    Ok(())
}

#[tokio::test]
async fn lines_before_a_bad_chunk_are_published_and_it_is_told_by_a_line() -> Result<()> {
    let broker = Broker::start().await?;
    let line = "{\"channel\":\"a\",\"data\":1}\n";
    let mut connection = Bare::connect(&broker).await?;
    let head = "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{head}{:x}\r\n{line}\r\n", line.len());
    connection.send(chunk.as_bytes()).await?;
    connection.until(b"\"offset\":1,").await?;
    connection.send(b"nonsense\r\n").await?;
    let told = String::from_utf8(connection.to_end().await?)?;
    assert!(told.contains("the chunks are not valid"), "{told}");
    assert!(told.contains("\"status\":400"), "{told}");
    assert!(told.ends_with("\r\n0\r\n\r\n"), "{told}");
    Ok(())
}

#[tokio::test]
async fn idle_connections_are_kept_as_long_as_the_setting_says() -> Result<()> {
    let broker = Broker::with(Settings::new().key("timeouts.idle_ms", SOON)).await?;
    let mut idle = Bare::connect(&broker).await?;
    idle.get("/channels/a", "").await?;
    answer(&mut idle).await?;
    assert_eq!(idle.to_end().await?, b"");

    // The default is longer than the pool of any proxy keeps them, of which this test waits for a part.
    let broker = Broker::start().await?;
    let mut idle = Bare::connect(&broker).await?;
    idle.get("/channels/a", "").await?;
    answer(&mut idle).await?;
    assert!(idle.stays_open(Duration::from_secs(7)).await);
    idle.get("/channels/a", "").await?;
    assert_eq!(answer(&mut idle).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_client_that_still_sends_too_large_a_body_gets_the_answer() -> Result<()> {
    let broker = Broker::start().await?;
    for megabytes in [2, 20, 60] {
        let part = vec![b'7'; 1 << 20];
        let mut connection = Bare::connect(&broker).await?;
        let length = format!("Content-Length: {}\r\n", megabytes << 20);
        connection.send(post("a", &length).as_bytes()).await?;
        for _ in 0..megabytes {
            connection.send(&part).await?;
        }
        assert_eq!(
            answer(&mut connection).await?.status,
            413,
            "{megabytes} MiB"
        );

        let mut connection = Bare::connect(&broker).await?;
        connection
            .send(post("a", "Transfer-Encoding: chunked\r\n").as_bytes())
            .await?;
        for _ in 0..megabytes {
            connection.send(b"100000\r\n").await?;
            connection.send(&part).await?;
            connection.send(b"\r\n").await?;
        }
        let refused = answer(&mut connection).await?;
        assert_eq!(refused.status, 413, "{megabytes} MiB in chunks");
        assert!(refused.head.contains("connection: close"), "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_head_is_good() -> Result<()> {
    let broker = Broker::start().await?;
    let expecting = |path: &str, fields: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{fields}\r\n")
    };
    let path = "/channels/a/messages";
    for (framing, body) in [
        ("Content-Length: 1\r\n", "1"),
        ("Transfer-Encoding: chunked\r\n", "1\r\n1\r\n0\r\n\r\n"),
    ] {
        let mut connection = Bare::connect(&broker).await?;
        let fields = format!("Content-Type: application/json\r\n{framing}");
        for _ in 0..2 {
            connection.send(expecting(path, &fields).as_bytes()).await?;
            assert_eq!(answer(&mut connection).await?.status, 100);
            connection.send(body.as_bytes()).await?;
            assert_eq!(answer(&mut connection).await?.status, 200);
        }
    }
    for (path, fields, status) in [
        (path, "Content-Length: 20000000\r\n", 413),
        (
            path,
            "Content-Length: 1\r\nOrigin: https://evil.example\r\n",
            403,
        ),
        (path, "Content-Length: 1\r\nContent-Encoding: br\r\n", 415),
        (
            path,
            "Content-Length: 1\r\nContent-Type: application/x-ndjson\r\n",
            415,
        ),
        (path, "Content-Length: 1\r\nIdempotency-Key: \r\n", 400),
        ("/v1/sessions/x/commands", "Content-Length: 1\r\n", 404),
        ("/nowhere", "Content-Length: 1\r\n", 404),
        ("/health/live", "Content-Length: 1\r\n", 405),
    ] {
        let refused = ask(&broker, &expecting(path, fields)).await?;
        assert_eq!(refused.status, status, "{path} {fields}");
    }
    let old = expecting(path, "Content-Length: 1\r\n").replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(ask(&broker, &format!("{old}1")).await?.status, 200);
    Ok(())
}

/// A head that asks for a WebSocket, with some bytes of it in place of others.
fn handshake(changes: &[(&str, &[u8])]) -> Vec<u8> {
    let mut head = b"GET /channels/a/ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    for (old, new) in changes {
        let at = head
            .windows(old.len())
            .position(|part| part == old.as_bytes());
        let at = at.expect("the head has it");
        head.splice(at..at + old.len(), new.iter().copied());
    }
    head
}

/// Whatever comes behind a head that asks for another protocol is neither a request nor a frame when that is refused: the connection ends.
#[tokio::test]
async fn nothing_behind_a_refused_handshake_is_read() -> Result<()> {
    let mut broker = Broker::start().await?;
    let publish = post("a", "Content-Length: 1\r\n") + "1";
    let frame = client_frame(0x81, b"2");
    for (head, status) in [
        // The options of the connection are no text.
        (handshake(&[("keep-alive", b"\xff")]), 400),
        (handshake(&[("Upgrade\r\n", b"Upgrade, \xc3\xbc\r\n")]), 400),
        (handshake(&[("websocket\r\n", b"websocket, \x80\r\n")]), 400),
        (handshake(&[("websocket\r\n", b"websocket\xa0\r\n")]), 400),
        // It is no whole handshake, or there is nothing for it.
        (handshake(&[("dGhl", b"")]), 400),
        (handshake(&[("13", b"12")]), 426),
        (handshake(&[("/channels/a/ws", b"/nothing/ws")]), 404),
        (handshake(&[("keep-alive", b"close")]), 400),
        (
            b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            404,
        ),
    ] {
        for behind in [publish.as_bytes(), &frame] {
            let shown = head.escape_ascii();
            let mut connection = Bare::connect(&broker).await?;
            connection
                .send(&[&head, behind, publish.as_bytes()].concat())
                .await?;
            let refused = answer(&mut connection).await?;
            assert_eq!(refused.status, status, "{shown}: {refused:?}");
            assert_eq!(connection.to_end().await?, b"", "{shown}");
        }
    }
    let messages = broker.get(&["channels", "a", "messages"], &[]).await?;
    assert_eq!(messages["messages"].as_array().map(Vec::len), Some(0));
    // None of the connections keeps its worker busy.
    eventually("the connections are gone", async || {
        Ok(broker.metrics().await?.value("widecast_connections") <= 2.0)
    })
    .await?;
    broker.check_alive().await
}

/// Where no WebSocket begins, bytes that are no text in the offer are no less refused, and a target is read as the router reads it.
#[tokio::test]
async fn an_offer_is_judged_by_the_path_that_is_served() -> Result<()> {
    let broker = Broker::start().await?;
    let get = b"GET /channels/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (target, status) in [
        // The offer is not taken, and the next request is answered.
        (&b"/channels/a"[..], 200),
        (b"/channels/a#/ws", 200),
        (b"/channels/a?x=/ws", 200),
        (b"/channels/a/messages", 200),
    ] {
        let shown = target.escape_ascii();
        let head = handshake(&[("/channels/a/ws", target)]);
        let mut connection = Bare::connect(&broker).await?;
        connection.send(&[&head, &get[..]].concat()).await?;
        assert_eq!(answer(&mut connection).await?.status, status, "{shown}");
        assert_eq!(answer(&mut connection).await?.status, 200, "{shown}");
        let no_text = handshake(&[("/channels/a/ws", target), ("keep-alive", b"\xff")]);
        connection.send(&[&no_text, &get[..]].concat()).await?;
        assert_eq!(answer(&mut connection).await?.status, 400, "{shown}");
        assert_eq!(connection.to_end().await?, b"", "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn a_websocket_may_be_offered_among_other_protocols() -> Result<()> {
    let broker = Broker::start().await?;
    for upgrade in ["h2c, websocket", "TLS/1.2\r\nUpgrade: WebSocket"] {
        let mut connection = Bare::connect(&broker).await?;
        let mut early = handshake(&[("websocket", upgrade.as_bytes())]);
        early.extend(client_frame(0x81, b"early"));
        connection.send(&early).await?;
        let head = String::from_utf8(connection.until(b"\r\n\r\n").await?)?;
        assert!(head.starts_with("HTTP/1.1 101"), "{upgrade}: {head}");
    }
    eventually("both are published", async || {
        let messages = broker.get(&["channels", "a", "messages"], &[]).await?;
        Ok(messages["messages"].as_array().map(Vec::len) == Some(2))
    })
    .await
}

#[tokio::test]
async fn an_offer_to_upgrade_that_is_not_taken_changes_nothing() -> Result<()> {
    let broker = Broker::start().await?;
    let get = "GET /channels/a HTTP/1.1\r\nHost: localhost\r\n".to_owned();
    for offer in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
    ] {
        let mut connection = Bare::connect(&broker).await?;
        for request in [
            format!("{get}{offer}\r\n"),
            post("a", &format!("Content-Length: 1\r\n{offer}")) + "1",
            post("a", &format!("Transfer-Encoding: chunked\r\n{offer}")) + "1\r\n1\r\n0\r\n\r\n",
            format!("{get}\r\n"),
        ] {
            connection.send(request.as_bytes()).await?;
            let answer = answer(&mut connection).await?;
            assert_eq!(answer.status, 200, "{request}");
            assert!(!answer.head.contains("connection:"), "{answer:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_a_handshake_of_the_standard_opens_a_websocket() -> Result<()> {
    let broker = Broker::start().await?;
    let good = "GET /channels/a/ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for path in ["/channels/a/ws", "/v1/ws"] {
        let good = good.replace("/channels/a/ws", path);
        let opened = ask(&broker, &good).await?;
        assert_eq!(opened.status, 101);
        assert!(
            opened.head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{opened:?}"
        );
        for (what, with, status) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", "", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "abc", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAA", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!==", 400),
            ("Sec-WebSocket-Key", "X-Key", 400),
            ("Version: 13", "Version: 99", 426),
            ("Version: 13", "Version: 8", 426),
            ("Version: 13", "Version: 0", 426),
            ("Sec-WebSocket-Version", "X-Version", 400),
            ("HTTP/1.1", "HTTP/1.0", 400),
            ("Upgrade: WebSocket", "Upgrade: h2c", 400),
            ("keep-alive, Upgrade", "keep-alive", 400),
            ("GET", "POST", 405),
        ] {
            let refused = ask(&broker, &good.replace(what, with)).await?;
            assert_eq!(refused.status, status, "{with:?}: {refused:?}");
            let is_told = refused.head.contains("sec-websocket-version: 13\r\n");
            assert_eq!(is_told, status == 426, "{with:?}: {refused:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_authority_of_the_target_counts_before_the_header_host() -> Result<()> {
    let broker = Broker::start().await?;
    let own = broker.socket_address();
    for (target, host, status) in [
        ("/channels/a".to_owned(), "localhost", 200),
        ("/channels/a".to_owned(), "evil.example", 403),
        (format!("http://{own}/channels/a"), "evil.example", 200),
        (
            "http://evil.example/channels/a".to_owned(),
            "localhost",
            403,
        ),
        (
            "http://user@localhost/channels/a".to_owned(),
            "localhost",
            400,
        ),
        ("/channels/a".to_owned(), "a b", 400),
        ("/channels/a".to_owned(), "localhost:abc", 400),
        ("/channels/a".to_owned(), "[::1", 400),
        ("/channels/a".to_owned(), "localhost/x", 400),
        ("/channels/a".to_owned(), "user@localhost", 400),
        ("/channels/a".to_owned(), "", 400),
        ("/channels/a".to_owned(), "a\r\nHost: a", 400),
        ("/channels/a".to_owned(), "[::1]", 200),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(ask(&broker, &request).await?.status, status, "{request}");
    }
    let without = "GET /channels/a HTTP/1.1\r\n\r\n";
    assert_eq!(ask(&broker, without).await?.status, 400);
    let old = "GET /channels/a HTTP/1.0\r\n\r\n";
    assert_eq!(ask(&broker, old).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_request_are_answered_with_a_problem() -> Result<()> {
    let broker = Broker::start().await?;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(200_000)
    );
    let target = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(65_534)
    );
    let endless = format!("GET /{}", "x".repeat(200_000));
    for (bytes, status) in [
        ("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
            400,
        ),
        (&long, 431),
        (&target, 414),
        (&endless, 414),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    ] {
        let refused = ask(&broker, bytes).await?;
        assert_eq!(refused.status, status);
        for line in [
            "application/problem+json",
            "x-content-type-options: nosniff",
            "cross-origin-resource-policy: same-site",
            "access-control-allow-origin: *",
        ] {
            assert!(refused.head.contains(line), "{line}: {refused:?}");
        }
        assert!(
            refused.body.contains(&format!("\"status\":{status}")),
            "{refused:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn no_head_and_no_body_is_waited_for_for_ever() -> Result<()> {
    let settings = Settings::new()
        .key("timeouts.head_ms", SOON)
        .key("timeouts.body_ms", SOON);
    let broker = Broker::with(settings).await?;
    // Nothing at all.
    assert_eq!(Bare::connect(&broker).await?.to_end().await?, b"");
    // Half a first head, and half a second one, of which more comes now and then.
    for requests in [0, 1] {
        let mut connection = Bare::connect(&broker).await?;
        for _ in 0..requests {
            connection.get("/channels/a", "").await?;
            answer(&mut connection).await?;
        }
        let trickle = async {
            for byte in b"GET /channels/a HTTP/1.1\r\nHost: localhost\r\n"
                .iter()
                .cycle()
            {
                if connection.send(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // It is sent until the broker has had enough; what it says then stays to be read.
        let _ = tokio::time::timeout(Duration::from_secs(1), trickle).await;
        assert_eq!(answer(&mut connection).await?.status, 408, "{requests}");
    }
    // Half a body.
    let mut connection = Bare::connect(&broker).await?;
    connection
        .send(post("a", "Content-Length: 9\r\n").as_bytes())
        .await?;
    connection.send(b"1").await?;
    assert_eq!(answer(&mut connection).await?.status, 408);
    for (reason, count) in [("opening", 1), ("head", 2), ("body", 1)] {
        gave_up(&broker, reason, count).await?;
    }
    Ok(())
}

/// So many clients were given up for this reason.
async fn gave_up(broker: &Broker, reason: &str, count: u32) -> Result<()> {
    let name = format!("widecast_client_timeouts_total{{reason=\"{reason}\"}}");
    let counted = broker.metrics().await?.value(&name);
    let is_right = (counted - f64::from(count)).abs() < f64::EPSILON;
    anyhow::ensure!(is_right, "{reason}: {counted}, expected {count}");
    Ok(())
}

#[tokio::test]
async fn no_header_of_a_proxy_is_waited_for_for_ever() -> Result<()> {
    let settings = Settings::new()
        .key("timeouts.head_ms", SOON)
        .key("server.trusted_proxies", "[\"127.0.0.2\"]")
        .key("server.proxy_protocol", "true");
    let broker = Broker::with(settings).await?;
    let mut connection = Bare::connect_from(&broker, Ipv4Addr::new(127, 0, 0, 2)).await?;
    connection.send(b"PROXY TCP4 ").await?;
    assert_eq!(connection.to_end().await?, b"");
    gave_up(&broker, "proxy_header", 1).await
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_given_up() -> Result<()> {
    let settings = Settings::new()
        .key("timeouts.answer_ms", SOON)
        .outbox_bytes(1 << 20, 4096);
    let broker = Broker::with(settings).await?;
    let large = "x".repeat(1_000_000);
    for _ in 0..8 {
        broker.publisher().publish("a", large.as_str()).await?;
    }
    // Less the one that asks.
    let open =
        async || Ok::<_, anyhow::Error>(broker.metrics().await?.value("widecast_connections"));
    let before = open().await?;
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut connection = Bare::connect_narrow(&broker).await?;
        connection.get("/channels/a/messages", "").await?;
        connections.push(connection);
    }
    eventually("all are given up", async || {
        let parts = ["widecast_client_timeouts_total{", "reason=\"answer\""];
        Ok(broker.metrics().await?.sum(&parts) >= 5.0)
    })
    .await?;
    gave_up(&broker, "answer", 5).await?;
    eventually("their end", async || Ok(open().await? <= before)).await
}

#[tokio::test]
async fn an_unfinished_websocket_message_is_not_waited_for_for_ever() -> Result<()> {
    let settings = Settings::new().key("timeouts.message_ms", SOON);
    let broker = Broker::with(settings).await?;
    for path in ["/v1/ws", "/channels/a/ws"] {
        for part in [
            client_frame(0x01, b"half a message"),
            client_frame_header(0x81, 1000),
            vec![0x81],
        ] {
            let mut connection = Bare::connect(&broker).await?;
            connection.upgrade(path).await?;
            connection.send(&part).await?;
            // A sign of life is none of the message.
            for _ in 0..20 {
                let pong = client_frame(0x8a, b"");
                if part[0] != 0x01 || connection.send(&pong).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let said = connection.to_end().await?;
            let close = said
                .windows(4)
                .any(|bytes| bytes[0] == 0x88 && bytes[2..] == 4408u16.to_be_bytes());
            assert!(close, "{path} {part:?}: {said:?}");
        }
    }
    gave_up(&broker, "message", 6).await
}

#[tokio::test]
async fn unfinished_messages_of_all_clients_are_bounded_and_the_largest_goes_first() -> Result<()> {
    let settings = Settings::new()
        .key("limits.request_bytes", "2_097_152")
        .key("limits.unfinished_bytes", "4_194_304")
        .workers(4);
    let broker = Broker::with(settings).await?;
    let mut small = Bare::connect(&broker).await?;
    small.upgrade("/channels/a/ws").await?;
    small.send(&client_frame(0x01, b"half ")).await?;
    let mut large = Vec::new();
    for _ in 0..5 {
        let mut connection = Bare::connect(&broker).await?;
        connection.upgrade("/v1/ws").await?;
        connection
            .send(&client_frame(0x01, &vec![b' '; 1_500_000]))
            .await?;
        large.push(connection);
    }
    // Of five there is room for two.
    let mut ends: FuturesUnordered<_> = large.iter_mut().map(Bare::to_end).collect();
    for _ in 0..3 {
        let said = ends.next().await.context("an end")??;
        let close = 1013u16.to_be_bytes();
        assert!(said.windows(2).any(|bytes| bytes == close), "{said:?}");
    }
    assert!(tokio::time::timeout(WHILE, ends.next()).await.is_err());
    let mut hearing = Bare::connect(&broker).await?;
    hearing.upgrade("/channels/a/ws").await?;
    small.send(&client_frame(0x80, b"a message")).await?;
    hearing.until(b"half a message").await?;
    Ok(())
}

#[tokio::test]
async fn unfinished_heads_count_with_all_that_is_unfinished() -> Result<()> {
    let settings = Settings::new()
        .key("limits.message_bytes", "65_536")
        .key("limits.request_bytes", "65_536")
        .key("limits.unfinished_bytes", "524_288");
    let broker = Broker::with(settings).await?;
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut connection = Bare::connect(&broker).await?;
        let half = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(100_000));
        connection.send(half.as_bytes()).await?;
        connections.push(connection);
    }
    let mut answers: FuturesUnordered<_> = connections.iter_mut().map(answer).collect();
    for _ in 0..5 {
        assert_eq!(answers.next().await.context("an answer")??.status, 503);
    }
    Ok(())
}

#[tokio::test]
async fn lines_that_have_not_come_whole_count_with_all_that_is_unfinished() -> Result<()> {
    let settings = Settings::new()
        .key("limits.message_bytes", "524_288")
        .key("limits.request_bytes", "524_288")
        .key("limits.unfinished_bytes", "1_048_576");
    let broker = Broker::with(settings).await?;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = Bare::connect(&broker).await?;
        let head = "POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
        let half = "x".repeat(400_000);
        let chunk = format!("{head}{:x}\r\n{half}\r\n", half.len());
        stream.send(chunk.as_bytes()).await?;
        streams.push(stream);
    }
    // Of five there is room for two.
    let told = streams
        .iter_mut()
        .map(|stream| stream.until(b"\"code\":\"overloaded\""));
    let mut told: FuturesUnordered<_> = told.collect();
    for _ in 0..3 {
        told.next().await.context("an answer")??;
    }
    assert!(tokio::time::timeout(WHILE, told.next()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_connection_ends_after_a_request_with_a_long_head() -> Result<()> {
    let broker = Broker::start().await?;
    let mut connection = Bare::connect(&broker).await?;
    for (bytes, is_last) in [(1000, false), (16_000, false), (17_000, true)] {
        let long = "x".repeat(bytes);
        let request = format!("GET /channels/a HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n");
        connection.send(request.as_bytes()).await?;
        let answer = answer(&mut connection).await?;
        assert_eq!(answer.status, 200);
        let says_so = answer.head.contains("connection: close");
        assert_eq!(says_so, is_last, "{bytes}");
    }
    assert!(connection.to_end().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_old_client_is_sent_no_chunks() -> Result<()> {
    let broker = Broker::start().await?;
    let lines = "{\"channel\":\"a\",\"data\":1}\n";
    let length = lines.len();
    for options in ["", "Connection: keep-alive\r\n"] {
        let mut connection = Bare::connect(&broker).await?;
        let head = format!(
            "POST /v1/publish HTTP/1.0\r\n{options}Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.send((head + lines).as_bytes()).await?;
        let answer = String::from_utf8(connection.to_end().await?)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("a head")?;
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert!(body.starts_with('{') && body.ends_with("}\n"), "{answer}");
    }
    Ok(())
}
