//! What one request may bring, everybody hears who keeps reading: also one that begins to read only when all is published, and
//! whose outbox has room for a part of it.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use widecast_tests::{Broker, Heard, Join, Subscriber, Transport, eventually};

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
