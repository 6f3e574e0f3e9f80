//! What was missed is sent at the client's pace, however much it is, and nobody is thrown out for it.

use anyhow::Result;
use serde_json::{Value, json};
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Join, Settings, Transport, eventually};

const MEBIBYTE: u64 = 1 << 20;

/// Transports on which a session can catch up with several channels.
const SEVERAL: [Transport; 5] = [
    Transport::RawSse,
    Transport::RawStream,
    Transport::LongPoll,
    Transport::JsonWebSocket,
    Transport::EnvelopeSse,
];

async fn broker() -> Result<Broker> {
    let settings = Settings::new()
        .outbox_bytes(50_000, 8192)
        .history("deep", 1000, 64 << 20);
    Broker::with(settings).await
}

/// A message of a size, that tells its channel and number.
fn piece(channel: &str, number: usize, bytes: usize) -> Value {
    json!([channel, number, "x".repeat(bytes)])
}

#[tokio::test]
async fn several_channels_with_more_history_than_the_outbox_are_all_caught_up() -> Result<()> {
    const MESSAGES: usize = 40;
    let broker = broker().await?;
    for transport in SEVERAL {
        let names = ["a", "b", "c"].map(|name| format!("deep:{name}{transport:?}"));
        let channels = names.each_ref().map(String::as_str);
        let start = broker.join(transport, &Join::channels(&channels)).await?;
        let cursor = start.cursor().unwrap_or_default();
        start.kill();
        for number in 0..MESSAGES {
            for channel in channels {
                let data = piece(channel, number, 5000);
                broker.publisher().publish(channel, data).await?;
            }
        }
        let join = Join::channels(&channels).from(cursor);
        let mut resumed = broker.join(transport, &join).await?;
        let heard = resumed.data(MESSAGES * channels.len()).await?;
        for channel in channels {
            let of_channel = heard.iter().filter(|data| data[0] == channel);
            let numbers: Vec<_> = of_channel.map(|data| data[1].clone()).collect();
            let expected: Vec<_> = (0..MESSAGES).map(Value::from).collect();
            assert_eq!(numbers, expected, "{transport:?} {channel}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn messages_almost_as_large_as_the_outbox_are_caught_up() -> Result<()> {
    let broker = broker().await?;
    for transport in Transport::ALL.into_iter().filter(|it| !it.loads_scripts()) {
        let channel = format!("deep:{transport:?}");
        let start = broker.join(transport, &Join::channel(&channel)).await?;
        let cursor = broker.end_of(&channel).await?;
        start.kill();
        let sizes = [20_000, 45_000, 1, 30_000];
        for (number, &bytes) in sizes.iter().enumerate() {
            let data = piece("", number, bytes);
            broker.publisher().publish(&channel, data).await?;
        }
        let join = Join::channel(&channel).from(cursor);
        let mut resumed = broker.join(transport, &join).await?;
        let heard = resumed.data(sizes.len()).await?;
        for (number, data) in heard.iter().enumerate() {
            let data = match data.as_str() {
                Some(text) => &serde_json::from_str(text)?,
                None => data,
            };
            assert_eq!(data[1], number, "{transport:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_clients_that_vanish_before_they_have_caught_up() -> Result<()> {
    const CLIENTS: usize = 200;
    let settings = Settings::new().history("deep", 1000, 64 << 20);
    let mut broker = Broker::with(settings).await?;
    let cursor = broker.end_of("deep:a").await?;
    for number in 0..20 {
        let data = piece("", number, 100_000);
        broker.publisher().publish("deep:a", data).await?;
    }
    let before = broker.metrics().await?;
    let before = before.sum(&["widecast_outbox_bytes"]);
    for _ in 0..CLIENTS {
        let mut client = Bare::connect(&broker).await?;
        let target = format!("/channels/deep:a/sse?cursor={cursor}");
        client.get(&target, "").await?;
        client.reset();
    }
    eventually("nothing waits for them", async || {
        let metrics = broker.metrics().await?;
        Ok(broker.subscribers("deep:a").await? == 0
            && metrics.sum(&["widecast_outbox_bytes"]) <= before)
    })
    .await?;
    assert!(broker.resident_bytes()? < 200 * MEBIBYTE);
    broker.check_alive().await
}
