//! What one request may bring, everybody hears who keeps reading: also one that begins to read only when all is published, and
//! whose outbox has room for a part of it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Heard, Join, Relay, Subscriber, Transport, eventually};

const CHANNEL: &str = "burst";

/// A burst: so many messages of so many bytes.
const BURSTS: [(usize, usize); 3] = [(8, 300_000), (600, 13_000), (5000, 20)];

/// How many messages a batch may have.
const BATCH: usize = 1000;

/// Where bursts come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// One request over HTTP.
    Batch,
    /// Commands in one frame.
    Frame,
    /// Messages of a plain WebSocket, one after the other.
    Plain,
}

fn piece(number: usize, bytes: usize) -> String {
    format!("{number} {}", "x".repeat(bytes))
}

fn messages(pieces: &[String]) -> Value {
    let message = |text| json!({ "channel": CHANNEL, "data": text });
    pieces.iter().map(message).collect()
}

/// How many messages the channel has had.
async fn offset(broker: &Broker) -> Result<u64> {
    let end = broker.end_of(CHANNEL).await?;
    let (_, offset) = end.split_once('-').context("a cursor")?;
    Ok(offset.parse()?)
}

async fn publish(broker: &Broker, source: Source, pieces: &[String]) -> Result<()> {
    let transport = match source {
        Source::Batch => {
            for pieces in pieces.chunks(BATCH) {
                let body = json!({ "messages": messages(pieces) }).to_string();
                let answer = broker
                    .post("/v1/publish", "application/json", body.into_bytes())
                    .await?;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            return Ok(());
        }
        Source::Frame => Transport::JsonWebSocket,
        Source::Plain => Transport::RawWebSocket,
    };
    let mut publisher = broker.join(transport, &Join::channel(CHANNEL)).await?;
    if let Source::Plain = source {
        let end = offset(broker).await? + pieces.len() as u64;
        for text in pieces {
            publisher.publish(CHANNEL, text).await?;
        }
        eventually(
            "all is published",
            async || Ok(offset(broker).await? == end),
        )
        .await?;
    } else {
        let batch = |pieces| json!({ "type": "batch", "messages": messages(pieces) });
        let batches: Vec<_> = pieces.chunks(BATCH).map(batch).collect();
        publisher.envelope()?.send(&batches.into()).await?;
        let ping = json!({ "type": "ping" });
        publisher.envelope()?.command(ping).await?;
    }
    // It is still there.
    broker.publisher().publish(CHANNEL, "the end").await?;
    match publisher.next().await? {
        Heard::Message(message) => assert_eq!(message.data, "the end"),
        other => bail!("{source:?} heard {other:?}"),
    }
    Ok(())
}

/// What a subscriber hears, as text.
async fn texts(subscriber: &mut Subscriber, count: usize) -> Result<Vec<String>> {
    let data = subscriber.data(count).await?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(data.into_iter().map(text).collect())
}

#[tokio::test]
async fn a_burst_that_fits_a_request_is_heard_by_all_who_read() -> Result<()> {
    for (count, bytes) in BURSTS {
        let broker = Broker::start().await?;
        let pieces: Vec<_> = (0..count).map(|number| piece(number, bytes)).collect();
        for source in [Source::Batch, Source::Frame, Source::Plain] {
            let mut subscribers = Vec::new();
            for transport in Transport::ALL.into_iter().filter(|it| !it.loads_scripts()) {
                subscribers.push(broker.join(transport, &Join::channel(CHANNEL)).await?);
            }
            publish(&broker, source, &pieces).await?;
            for subscriber in &mut subscribers {
                let heard = texts(subscriber, count).await?;
                let transport = subscriber.transport();
                assert!(
                    heard == pieces,
                    "{transport:?} from {source:?}: {count} of {bytes}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_largest_messages_fit_the_history() -> Result<()> {
    let broker = Broker::start().await?;
    let join = Join::channel(CHANNEL).from(broker.end_of(CHANNEL).await?);
    let largest = "x".repeat((1 << 20) - 2);
    for _ in 0..3 {
        broker
            .publisher()
            .publish(CHANNEL, largest.as_str())
            .await?;
    }
    let mut resumed = broker.join(Transport::JsonWebSocket, &join).await?;
    assert!(resumed.data(3).await?.iter().all(|data| data == &largest));
    Ok(())
}

/// How many messages of which size are nearly as much as one request may bring (`limits.request_bytes`).
const LARGEST: (usize, usize) = (800, 10_000);

/// The bodies of so many of the largest requests; no two of their messages are the same.
fn largest_requests(count: usize) -> Vec<String> {
    let (messages_each, bytes) = LARGEST;
    let request = |number: usize| {
        let first = number * messages_each;
        let pieces: Vec<_> = (first..first + messages_each)
            .map(|number| piece(number, bytes))
            .collect();
        json!({ "messages": messages(&pieces) }).to_string()
    };
    (0..count).map(request).collect()
}

async fn post(broker: &Broker, request: &str) -> Result<()> {
    let body = request.to_owned().into_bytes();
    let answer = broker.post("/v1/publish", "application/json", body).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Ok(())
}

/// The number that a message begins with.
fn number(text: &str) -> Result<usize> {
    let (number, _) = text.split_once(' ').context("a number")?;
    Ok(number.parse()?)
}

/// Makes sure that each message of so many requests was heard once, and those of each request in their order.
fn check_all_heard(numbers: &[usize], requests: usize, what: &str) {
    let (messages_each, _) = LARGEST;
    for request in 0..requests {
        let of_request = |number: &&usize| **number / messages_each == request;
        let heard: Vec<_> = numbers.iter().filter(of_request).copied().collect();
        let first = request * messages_each;
        let expected: Vec<_> = (first..first + messages_each).collect();
        assert!(
            heard == expected,
            "{what}: {} of request {request}",
            heard.len()
        );
    }
    assert_eq!(numbers.len(), requests * messages_each, "{what}");
}

/// A subscriber over the stream of lines with a small receive buffer, which has read nothing behind the head.
async fn narrow(address: SocketAddr) -> Result<Bare> {
    let mut stream = Bare::connect_narrow_to(address).await?;
    stream
        .get(&format!("/channels/{CHANNEL}/stream"), "")
        .await?;
    stream.until(b"\r\n\r\n").await?;
    Ok(stream)
}

/// The numbers of the next messages of a stream of lines.
async fn numbers(stream: &mut Bare, count: usize) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let line = stream.until(b"\n").await?;
        // A heartbeat is an empty line.
        if line.len() > 1 {
            let message: Value = serde_json::from_slice(&line)?;
            numbers.push(number(message["data"].as_str().context("a message")?)?);
        }
    }
    Ok(numbers)
}

/// What the defaults promise (docs/decisions/0018): publishers wait for none of these, who read only when all is published.
#[tokio::test]
async fn two_of_the_largest_requests_at_once_are_heard_by_slow_subscribers() -> Result<()> {
    let (broker, requests) = (Broker::start().await?, largest_requests(2));
    let mut subscribers = Vec::new();
    for transport in [
        Transport::RawWebSocket,
        Transport::MessagePackWebSocket,
        Transport::RawSse,
        Transport::EnvelopePoll,
    ] {
        subscribers.push(broker.join(transport, &Join::channel(CHANNEL)).await?);
    }
    let mut narrow = narrow(broker.socket_address()).await?;
    try_join_all(requests.iter().map(|request| post(&broker, request))).await?;
    let count = requests.len() * LARGEST.0;
    check_all_heard(&numbers(&mut narrow, count).await?, 2, "a narrow stream");
    for subscriber in &mut subscribers {
        let heard = texts(subscriber, count).await?;
        let heard = heard.iter().map(|text| number(text));
        let heard = heard.collect::<Result<Vec<_>>>()?;
        check_all_heard(&heard, 2, &format!("{:?}", subscriber.transport()));
    }
    Ok(())
}

/// As much as a connection over a distance has on its way.
const WINDOW_BYTES: usize = 512 << 10;

#[tokio::test]
async fn two_of_the_largest_requests_at_once_are_heard_far_away() -> Result<()> {
    let (broker, requests) = (Broker::start().await?, largest_requests(2));
    let one_way = Duration::from_millis(60);
    let way = Relay::slow(broker.socket_address(), one_way, WINDOW_BYTES).await?;
    let mut far = narrow(way.address()).await?;
    let mut near = narrow(broker.socket_address()).await?;
    let count = requests.len() * LARGEST.0;
    let publishing = try_join_all(requests.iter().map(|request| post(&broker, request)));
    let (published, far, near) = tokio::join!(
        publishing,
        numbers(&mut far, count),
        numbers(&mut near, count)
    );
    published?;
    check_all_heard(&far?, 2, "far away");
    check_all_heard(&near?, 2, "near");
    Ok(())
}
