//! What a client is told of messages that it will not get: always, and never after a cursor that covers them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use widecast_tests::settings::SlowConsumer;
use widecast_tests::socket::{Bare, client_frame};
use widecast_tests::{Broker, Heard, Join, Settings, Transport};

const PLAIN: &str = "plain";
const DROPPING: &str = "dropping:d";

/// A broker that holds little for a client, and drops the oldest messages of some channels.
async fn narrow() -> Result<Broker> {
    let settings = Settings::new()
        .outbox_bytes(65_536, 16_384)
        .slow_consumer("dropping", SlowConsumer::DropOldest);
    Broker::with(settings).await
}

async fn publish(broker: &Broker, messages: &[(&str, &str)]) -> Result<()> {
    let message = |(channel, data): &(&str, &str)| json!({ "channel": channel, "data": data });
    let messages: Vec<_> = messages.iter().map(message).collect();
    let body = json!({ "messages": messages }).to_string().into_bytes();
    let answer = broker.post("/v1/publish", "application/json", body).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

/// What is too much for the client's kernel and the broker's.
fn large() -> String {
    "x".repeat(30_000)
}

/// The head of the answer to a request.
async fn head(socket: &mut Bare, target: &str, headers: &str) -> Result<String> {
    socket.get(target, headers).await?;
    Ok(String::from_utf8(socket.until(b"\r\n\r\n").await?)?)
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.eq_ignore_ascii_case(name)).then(|| value.trim().to_owned())
    })
}

/// The next line of a stream that is not a heartbeat.
async fn line(stream: &mut Bare) -> Result<Value> {
    loop {
        let line = stream.until(b"\n").await?;
        if line.len() > 1 {
            return Ok(serde_json::from_slice(&line)?);
        }
    }
}

/// The next block of an event stream that has a field, as its `id`, its `event` and its `data`.
async fn block(stream: &mut Bare) -> Result<[Option<String>; 3]> {
    loop {
        let block = String::from_utf8(stream.until(b"\n\n").await?)?;
        let field = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.trim().to_owned());
            block.lines().find_map(value)
        };
        let fields = [field("id:"), field("event:"), field("data:")];
        if fields.iter().any(Option::is_some) {
            return Ok(fields);
        }
    }
}

/// The next frame of a WebSocket, without its header.
async fn frame(socket: &mut Bare) -> Result<Vec<u8>> {
    let header = socket.exactly(2).await?;
    let length = match header[1] {
        126 => u64::from(u16::from_be_bytes(socket.exactly(2).await?[..].try_into()?)),
        127 => u64::from_be_bytes(socket.exactly(8).await?[..].try_into()?),
        length => u64::from(length),
    };
    socket.exactly(usize::try_from(length)?).await
}

#[tokio::test]
async fn a_gap_is_told_wherever_it_falls_among_the_writes() -> Result<()> {
    let broker = narrow().await?;
    // At some of them the gap is right behind what one write takes.
    for small in 20..84 {
        let (plain, dropping) = (format!("plain{small}"), format!("dropping:{small}"));
        let mut socket = Bare::connect_narrow(&broker).await?;
        socket.upgrade("/v1/ws").await?;
        let subscribe = json!([
            { "type": "subscribe", "channel": plain },
            { "type": "subscribe", "channel": dropping },
        ]);
        socket
            .send(&client_frame(0x81, subscribe.to_string().as_bytes()))
            .await?;
        for _ in ["welcome", "subscribed", "subscribed"] {
            frame(&mut socket).await?;
        }
        let (large, piece) = (large(), "x".repeat(2000));
        // A batch keeps its order within each channel only.
        let mut messages = vec![(&plain[..], &large[..])];
        messages.extend(vec![(&plain[..], "small"); small]);
        publish(&broker, &messages).await?;
        publish(&broker, &vec![(&dropping[..], &piece[..]); 60]).await?;
        publish(&broker, &[(&plain, "end")]).await?;
        let mut last = 0;
        loop {
            let frame: Value = serde_json::from_slice(&frame(&mut socket).await?)?;
            if frame["data"] == "end" {
                break;
            }
            if frame["channel"] != dropping {
                continue;
            }
            let offset = frame["offset"].as_u64();
            if frame["type"] == "gap" {
                last = offset_of(&frame["cursor"], &dropping)?;
                continue;
            }
            let offset = offset.context("an offset")?;
            assert_eq!(offset, last + 1, "after {small} small messages");
            last = offset;
        }
        assert!(last > 0, "after {small} small messages");
    }
    Ok(())
}

/// The offset that a cursor of one channel or several has for a channel.
fn offset_of(cursor: &Value, channel: &str) -> Result<u64> {
    let cursor = cursor.as_str().context("a cursor")?;
    let channel = channel.replace(':', "%3A");
    let part = cursor
        .split(',')
        .find_map(|part| part.strip_prefix(&channel)?.strip_prefix('='));
    let (_, offset) = part
        .unwrap_or(cursor)
        .rsplit_once('-')
        .context("an offset")?;
    Ok(offset.parse()?)
}

#[tokio::test]
async fn no_id_of_an_event_stream_covers_a_gap_that_was_not_told() -> Result<()> {
    let broker = Broker::start().await?;
    publish(&broker, &[("a", "lost"), ("b", "lost")]).await?;
    let targets = [
        ("/channels/a/sse", "1f-9", 1),
        ("/v1/sse?channel=a&channel=b", "a=1f-9,b=1f-9", 2),
        ("/v1/sse?channel=a&channel=b", "a=1f-9", 1),
        ("/v1/sse?channel=a", "1f-9", 1),
        ("/channels/a/sse?format=message", "1f-9", 1),
        (
            "/v1/sse?channel=a&channel=b&format=message",
            "a=1f-9,b=1f-9",
            2,
        ),
    ];
    for (target, asked, lost) in targets {
        let is_object = target.contains("format=message");
        let mut cursor = asked.to_owned();
        let mut gaps = 0;
        // Each time the connection is cut behind one block more.
        while gaps < lost {
            let mut stream = Bare::connect(&broker).await?;
            let headers = format!("Last-Event-ID: {cursor}\r\n");
            head(&mut stream, target, &headers).await?;
            let [begins, event, _] = block(&mut stream).await?;
            assert_eq!(event, None, "{target}");
            assert!(begins.is_some_and(|id| id.contains("1f-9")), "{target}");
            let [id, event, data] = block(&mut stream).await?;
            let name = (!is_object).then_some("widecast.gap");
            assert_eq!(event.as_deref(), name, "{target}");
            let id = id.context("the gap's own id")?;
            let data: Value = serde_json::from_str(&data.context("data")?)?;
            assert_eq!(data["cursor"], id, "{target}");
            assert_eq!(data["type"] == "gap", is_object, "{target}");
            (cursor, gaps) = (id, gaps + 1);
        }
        assert!(!cursor.contains("1f-9"), "{target}: {cursor}");
    }
    Ok(())
}

#[tokio::test]
async fn the_cursor_in_the_head_does_not_cover_a_gap_either() -> Result<()> {
    let broker = Broker::start().await?;
    publish(&broker, &[("a", "lost")]).await?;
    for (target, asked) in [
        ("/channels/a/stream", "1f-9"),
        ("/channels/a/sse", "1f-9"),
        ("/v1/stream?channel=a&channel=b", "a=1f-9"),
    ] {
        let mut stream = Bare::connect(&broker).await?;
        let head = head(
            &mut stream,
            &format!(
                "{target}{}cursor={asked}",
                if target.contains('?') { "&" } else { "?" }
            ),
            "",
        )
        .await?;
        let begins = header(&head, "widecast-cursor").context("a cursor in the head")?;
        // The channels come in the order in which they were joined.
        let covers = begins.split(',').any(|part| part == asked);
        assert!(covers, "{target}: {begins}");
        if target.contains("sse") {
            continue;
        }
        let gap = line(&mut stream).await?;
        assert_eq!(
            (&gap["type"], &gap["channel"]),
            (&json!("gap"), &json!("a"))
        );
        assert_eq!(offset_of(&gap["cursor"], "a")?, 1, "{target}");
        let has_both = gap["cursor"]
            .as_str()
            .is_some_and(|cursor| cursor.contains("b="));
        assert_eq!(has_both, target.contains("channel=b"), "{target}: {gap}");
    }
    let mut socket = Bare::connect(&broker).await?;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let head = head(&mut socket, "/channels/a/ws?cursor=1f-9", upgrade).await?;
    assert_eq!(header(&head, "widecast-cursor").as_deref(), Some("1f-9"));
    let close = frame(&mut socket).await?;
    assert_eq!(u16::from_be_bytes([close[0], close[1]]), 4410);
    Ok(())
}

#[tokio::test]
async fn no_cursor_of_several_channels_covers_what_was_dropped_unsaid() -> Result<()> {
    let broker = narrow().await?;
    let target = format!("/v1/stream?channel={PLAIN}&channel={DROPPING}");
    let mut stream = Bare::connect_narrow(&broker).await?;
    head(&mut stream, &target, "").await?;
    let (large, piece) = (large(), "x".repeat(2000));
    publish(&broker, &[(PLAIN, &large[..])]).await?;
    for _ in 0..60 {
        publish(&broker, &[(DROPPING, &piece[..])]).await?;
        publish(&broker, &[(PLAIN, "small")]).await?;
    }
    publish(&broker, &[(PLAIN, "end")]).await?;
    let (mut known, mut gaps) = (0, 0);
    loop {
        let line = line(&mut stream).await?;
        let covered = offset_of(&line["cursor"], DROPPING)?;
        if line["type"] == "gap" {
            gaps += 1;
        } else if line["channel"] == DROPPING {
            assert_eq!(line["offset"], known + 1);
        } else {
            assert_eq!(covered, known, "{line}");
        }
        known = covered;
        if line["data"] == "end" {
            break;
        }
    }
    assert!(gaps > 0, "nothing was dropped");
    assert_eq!(known, 60);
    Ok(())
}

/// The sender key of a client that subscribes and publishes.
const OWN: &str = "the-key-of-a-client";

/// A broker that keeps five messages of a channel, and beats often.
async fn forgetful() -> Result<Broker> {
    let settings = Settings::new()
        .history("short", 5, 1 << 20)
        .heartbeat(Duration::from_millis(100), Duration::from_secs(2));
    Broker::with(settings).await
}

/// The next thing that an event stream or a stream of lines tells: the cursor, and the data, `gap` or nothing.
async fn told(stream: &mut Bare, target: &str) -> Result<(String, String)> {
    let shown = |object: &Value| {
        let data = object["data"].as_str();
        let kind = object["type"].as_str().filter(|&kind| kind != "cursor");
        data.or(kind).unwrap_or_default().to_owned()
    };
    let (cursor, what) = if target.contains("/stream") {
        let line = line(stream).await?;
        (line["cursor"].as_str().map(str::to_owned), shown(&line))
    } else {
        let [id, event, data] = block(stream).await?;
        let what = match (event.as_deref(), data) {
            (Some("widecast.gap"), _) => "gap".to_owned(),
            (_, Some(data)) if target.contains("format=") => shown(&serde_json::from_str(&data)?),
            (_, data) => data.unwrap_or_default(),
        };
        (id, what)
    };
    Ok((cursor.context("a cursor")?, what))
}

/// The places of a cursor, whose order says nothing.
fn places(cursor: &str) -> BTreeSet<&str> {
    cursor.split(',').collect()
}

/// Opens a stream, at a cursor that it has been told; an event stream repeats the cursor.
async fn resume(broker: &Broker, target: &str, cursor: &str) -> Result<Bare> {
    let mut stream = Bare::connect(broker).await?;
    head(&mut stream, target, &format!("Last-Event-ID: {cursor}\r\n")).await?;
    if target.contains("sse") {
        // The time to wait before reconnecting has a block of its own, without an id.
        let (repeated, what) = told(&mut stream, target).await?;
        assert_eq!(places(&repeated), places(cursor));
        assert_eq!(what, "");
    }
    Ok(stream)
}

#[tokio::test]
async fn a_client_that_has_missed_only_its_own_messages_is_told_no_gap() -> Result<()> {
    let broker = forgetful().await?;
    let (own, others) = (broker.publisher().sender(OWN), broker.publisher());
    for (number, path) in [
        "/channels/short:{}/sse?",
        "/channels/short:{}/sse?format=message&",
        "/channels/short:{}/stream?",
        "/v1/sse?channel=short:{}&channel=b&",
        "/v1/sse?channel=b&channel=short:{}&format=message&",
        "/v1/stream?channel=short:{}&channel=b&",
    ]
    .into_iter()
    .enumerate()
    {
        let channel = format!("short:{number}");
        let target = path.replace("{}", &number.to_string()) + "sender=" + OWN;
        let mut stream = Bare::connect(&broker).await?;
        head(&mut stream, &target, "").await?;
        others.publish(&channel, "of somebody else").await?;
        while told(&mut stream, &target).await?.1 != "of somebody else" {}
        let mut last = String::new();
        for _ in 0..10 {
            last = own.publish(&channel, "own").await?.cursor();
        }
        let cursor = loop {
            let (cursor, what) = told(&mut stream, &target).await?;
            assert_eq!(what, "", "{target}");
            if cursor.contains(&last) {
                break cursor;
            }
        };
        drop(stream);
        others.publish(&channel, "missed").await?;
        let mut stream = resume(&broker, &target, &cursor).await?;
        assert_eq!(told(&mut stream, &target).await?.1, "missed", "{target}");
        drop(stream);
        // But when something of somebody else is lost, the client is told.
        for _ in 0..5 {
            own.publish(&channel, "own").await?;
        }
        let mut stream = resume(&broker, &target, &cursor).await?;
        assert_eq!(told(&mut stream, &target).await?.1, "gap", "{target}");
    }
    Ok(())
}

#[tokio::test]
async fn a_websocket_of_message_objects_is_told_its_place_behind_its_own_messages() -> Result<()> {
    let broker = forgetful().await?;
    let join = Join::channel("short:a").sender(OWN);
    let mut page = broker.join(Transport::ObjectWebSocket, &join).await?;
    for _ in 0..10 {
        page.publish("short:a", "own").await?;
    }
    let cursor = loop {
        match page.next().await? {
            Heard::Frame(frame) if frame["type"] == "cursor" => {
                let cursor = frame["cursor"].as_str().context("a cursor")?.to_owned();
                if cursor.ends_with("-10") {
                    break cursor;
                }
            }
            other => bail!("{other:?} instead of a place"),
        }
    };
    assert_eq!(page.cursor().as_ref(), Some(&cursor));
    page.kill();
    broker.publisher().publish("short:a", "missed").await?;
    let join = join.from(cursor);
    let mut page = broker.join(Transport::ObjectWebSocket, &join).await?;
    assert_eq!(page.message().await?.data, "missed");
    Ok(())
}
