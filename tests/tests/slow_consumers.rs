//! Subscribers that read more slowly than their messages come: what waits for them is bounded, and they are told.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use widecast_tests::settings::SlowConsumer;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Join, Settings, Transport, eventually};

const MEBIBYTE: u64 = 1 << 20;
const PIECE: usize = 50_000;

fn settings() -> Settings {
    Settings::new()
        .outbox_bytes(200_000, 8192)
        .message_bytes(100_000)
        .history("patient", 1000, 64 << 20)
        .history("brief", 2, 64 << 20)
        .slow_consumer("brief", SlowConsumer::Disconnect)
        .history("dropping", 1000, 64 << 20)
        .history("newest", 1000, 64 << 20)
        .slow_consumer("patient", SlowConsumer::Disconnect)
        .slow_consumer("dropping", SlowConsumer::DropOldest)
        .slow_consumer("newest", SlowConsumer::Latest)
}

async fn broker() -> Result<Broker> {
    Broker::with(settings()).await
}

/// One that soon loses patience with clients that take nothing.
async fn impatient_broker() -> Result<Broker> {
    let second = Duration::from_secs(1);
    Broker::with(settings().heartbeat(second, second)).await
}

/// A subscriber over the stream of lines that does not read yet.
async fn deaf(broker: &Broker, channel: &str) -> Result<Bare> {
    let mut stream = Bare::connect_narrow(broker).await?;
    stream
        .get(&format!("/channels/{channel}/stream"), "")
        .await?;
    stream.until(b"\r\n\r\n").await?;
    Ok(stream)
}

async fn flood(broker: &Broker, channel: &str, messages: usize) -> Result<()> {
    let filler = "x".repeat(PIECE);
    for number in 1..=messages {
        broker
            .publisher()
            .publish(channel, json!([number, filler]))
            .await?;
    }
    Ok(())
}

/// The next line that is not a heartbeat.
async fn line(stream: &mut Bare) -> Result<Value> {
    loop {
        let line = stream.until(b"\n").await?;
        if line.len() > 1 {
            return Ok(serde_json::from_slice(&line)?);
        }
    }
}

#[tokio::test]
async fn a_client_that_is_too_slow_is_disconnected_and_resumes_without_loss() -> Result<()> {
    const MESSAGES: usize = 100;
    let broker = impatient_broker().await?;
    let start = broker.end_of("patient:a").await?;
    let mut slow = deaf(&broker, "patient:a").await?;
    flood(&broker, "patient:a", MESSAGES).await?;
    eventually("the slow one is dropped", async || {
        Ok(broker.subscribers("patient:a").await? == 0)
    })
    .await?;
    let got = slow.to_end().await?;
    assert!(got.len() < MESSAGES * PIECE);
    let metrics = broker.metrics().await?;
    assert!(metrics.sum(&["disconnect"]) >= 1.0, "{metrics:?}");
    let join = Join::channel("patient:a").from(start);
    let mut resumed = resume_patiently(&broker, &join, MESSAGES).await?;
    resumed.sort_unstable();
    assert_eq!(resumed, (1..=MESSAGES as u64).collect::<Vec<_>>());
    Ok(())
}

/// Reads everything after the cursor, however often the broker hangs up on the way.
async fn resume_patiently(broker: &Broker, join: &Join, messages: usize) -> Result<Vec<u64>> {
    let mut heard = Vec::new();
    let mut join = join.clone();
    while heard.len() < messages {
        let mut subscriber = broker.join(Transport::RawStream, &join).await?;
        while heard.len() < messages {
            match subscriber.next().await? {
                widecast_tests::Heard::Message(message) => {
                    heard.push(message.data[0].as_u64().context("a number")?);
                }
                widecast_tests::Heard::Closed { .. } => break,
                other => anyhow::bail!("heard {other:?}"),
            }
        }
        join.cursor = subscriber.cursor();
    }
    Ok(heard)
}

#[tokio::test]
async fn a_websocket_that_is_too_slow_is_dropped_and_the_others_hear_everything() -> Result<()> {
    let broker = impatient_broker().await?;
    let mut quick = broker
        .join(Transport::JsonWebSocket, &Join::channel("patient:a"))
        .await?;
    let mut slow = Bare::connect_narrow(&broker).await?;
    slow.upgrade("/channels/patient:a/ws").await?;
    for number in 1..=50_u64 {
        let data = json!([number, "x".repeat(PIECE)]);
        broker.publisher().publish("patient:a", data).await?;
        // One by one, so that this one is never slow.
        assert_eq!(quick.message().await?.data[0], number);
    }
    eventually("the slow one is dropped", async || {
        Ok(broker.subscribers("patient:a").await? == 1)
    })
    .await
}

#[tokio::test]
async fn resuming_gets_past_messages_larger_than_what_may_wait() -> Result<()> {
    let settings = Settings::new().outbox_bytes(100_000, 8192);
    let broker = Broker::with(settings.history("large", 100, 64 << 20)).await?;
    let start = broker.end_of("large:a").await?;
    let mut expected = Vec::new();
    for number in 0..8_usize {
        let bytes = [40_000, 90_000, 150_000][number % 3];
        let data = json!([number, "x".repeat(bytes)]);
        broker.publisher().publish("large:a", data.clone()).await?;
        expected.push(data);
    }
    for transport in [
        Transport::RawSse,
        Transport::RawStream,
        Transport::LongPoll,
        Transport::RawWebSocket,
        Transport::ValueWebSocket,
        Transport::ObjectWebSocket,
        Transport::ObjectSse,
        Transport::JsonWebSocket,
        Transport::EnvelopePoll,
    ] {
        let join = Join::channel("large:a").from(start.clone());
        let mut resumed = broker.join(transport, &join).await?;
        let heard = resumed.data(expected.len()).await?;
        assert!(heard == expected, "{transport:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_pasts_of_several_channels_are_all_sent_to_one_session() -> Result<()> {
    const EACH: usize = 30;
    let settings = Settings::new().outbox_bytes(20_000, 8192);
    let broker = Broker::with(settings.history("large", 100, 64 << 20)).await?;
    let channels = ["large:a", "large:b", "large:c"];
    let mut places = Vec::new();
    for channel in channels {
        let end = broker.end_of(channel).await?;
        places.push(format!("{}={end}", channel.replace(':', "%3A")));
    }
    flood_with(&broker, &channels, EACH).await?;
    for transport in [
        Transport::RawStream,
        Transport::RawSse,
        Transport::ObjectSse,
        Transport::LongPoll,
    ] {
        let join = Join::channels(&channels).from(places.join(","));
        let mut resumed = broker.join(transport, &join).await?;
        // Only then does it read.
        resumed.data(channels.len() * EACH).await?;
        flood_with(&broker, &channels, 1).await?;
        resumed.data(channels.len()).await?;
        places = vec![resumed.cursor().context("a cursor")?];
        flood_with(&broker, &channels, EACH).await?;
    }
    Ok(())
}

async fn flood_with(broker: &Broker, channels: &[&str], messages: usize) -> Result<()> {
    for number in 0..messages {
        for channel in channels {
            let data = json!([number, "x".repeat(5000)]);
            broker.publisher().publish(channel, data).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_poll_that_more_comes_to_than_may_wait_loses_nothing() -> Result<()> {
    const MESSAGES: usize = 100;
    let broker = Broker::with(Settings::new().outbox_bytes(2000, 8192)).await?;
    let messages: Vec<_> = (0..MESSAGES)
        .map(|number| json!({ "channel": "burst", "data": [number, "x".repeat(100)] }))
        .collect();
    let batch = json!({ "messages": messages }).to_string();
    for _ in 0..5 {
        let join = Join::channel("burst").from(broker.end_of("burst").await?);
        let mut subscriber = broker.join(Transport::LongPoll, &join).await?;
        let publishing = async {
            let body = batch.clone().into_bytes();
            broker.post("/v1/publish", "application/json", body).await
        };
        let (heard, published) = tokio::join!(subscriber.data(MESSAGES), publishing);
        published?;
        let numbers: Vec<_> = heard?.iter().map(|data| data[0].as_u64()).collect();
        let expected: Vec<_> = (0..MESSAGES as u64).map(Some).collect();
        assert_eq!(numbers, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_of_polls_that_comes_too_late_is_told_and_then_gone() -> Result<()> {
    let broker = broker().await?;
    let subscribe = json!({ "type": "subscribe", "channel": "brief:a" });
    let opened = broker
        .post(
            "/v1/poll?session=new",
            "application/json",
            subscribe.to_string().into_bytes(),
        )
        .await?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("text");
    let session = text(&opened.body["session"])?;
    let poll = async |cursor: &str| {
        let query = [("session", session.as_str()), ("cursor", cursor)];
        broker.get(&["v1", "poll"], &query).await
    };
    flood(&broker, "brief:a", 10).await?;
    eventually("its messages no longer fit", async || {
        Ok(broker.metrics().await?.sum(&["disconnect"]) >= 1.0)
    })
    .await?;
    // First what had fitted; what came behind it is gone from the history, too.
    let heard = poll(&text(&opened.body["cursor"])?).await?;
    assert_eq!(heard["frames"][0]["data"][0], 1, "{heard}");
    let told = poll(&text(&heard["cursor"])?).await?;
    let goodbye = &told["frames"][0];
    assert_eq!(goodbye["type"], "goodbye", "{told}");
    assert_eq!(goodbye["code"], "slow_consumer", "{told}");
    assert_eq!(goodbye["reconnect"], true, "{told}");
    let last = text(&told["cursor"])?;
    let refused = poll(&last).await.err();
    let refused = refused.context("a poll after the goodbye is refused")?;
    assert!(
        format!("{refused:?}").contains("session_not_found"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_session_of_polls_that_comes_late_gets_the_rest_from_the_history() -> Result<()> {
    const MESSAGES: usize = 30;
    let broker = broker().await?;
    let join = Join::channel("patient:a");
    let mut polls = broker.join(Transport::EnvelopePoll, &join).await?;
    flood(&broker, "patient:a", MESSAGES).await?;
    let heard = polls.data(MESSAGES).await?;
    let numbers: Vec<_> = heard.iter().map(|data| data[0].as_u64()).collect();
    assert_eq!(numbers, (1..=MESSAGES as u64).map(Some).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn the_oldest_messages_are_dropped_and_the_gap_is_told() -> Result<()> {
    const MESSAGES: u64 = 100;
    let broker = broker().await?;
    let mut slow = deaf(&broker, "dropping:a").await?;
    flood(&broker, "dropping:a", 100).await?;
    let (mut last, mut gaps) = (0, 0);
    let mut told = false;
    while last < MESSAGES {
        let line = line(&mut slow).await?;
        if line["type"] == "gap" {
            assert_eq!(line["recovered"], false);
            (gaps, told) = (gaps + 1, true);
            continue;
        }
        let number = line["data"][0].as_u64().context("a number")?;
        assert!(number > last, "{number} after {last}");
        assert!(
            number == last + 1 || told,
            "{number} after {last} without a word"
        );
        (last, told) = (number, false);
    }
    assert!(gaps >= 1, "nothing was dropped");
    assert_eq!(broker.subscribers("dropping:a").await?, 1);
    let metrics = broker.metrics().await?;
    assert!(metrics.sum(&["drop_oldest"]) >= 1.0, "{metrics:?}");
    Ok(())
}

#[tokio::test]
async fn only_the_newest_message_is_kept_and_the_gap_is_told() -> Result<()> {
    const MESSAGES: u64 = 100;
    let broker = broker().await?;
    let mut slow = deaf(&broker, "newest:a").await?;
    flood(&broker, "newest:a", 100).await?;
    let (mut last, mut lines, mut told) = (0, 0, false);
    while last < MESSAGES {
        let line = line(&mut slow).await?;
        if line["type"] == "gap" {
            told = true;
            continue;
        }
        let number = line["data"][0].as_u64().context("a number")?;
        assert!(
            number == last + 1 || told,
            "{number} after {last} without a word"
        );
        (last, lines, told) = (number, lines + 1, false);
    }
    assert!(lines < 50, "{lines} messages waited");
    let metrics = broker.metrics().await?;
    assert!(metrics.sum(&["latest"]) >= 1.0, "{metrics:?}");
    Ok(())
}

#[tokio::test]
async fn a_hundred_clients_that_never_read_take_little_memory() -> Result<()> {
    const CLIENTS: usize = 100;
    let broker = broker().await?;
    for namespace in ["patient", "dropping", "newest"] {
        let channel = format!("{namespace}:flat");
        let mut clients = Vec::with_capacity(CLIENTS);
        for number in 0..CLIENTS {
            if number % 2 == 0 {
                clients.push(deaf(&broker, &channel).await?);
            } else {
                let mut socket = Bare::connect_narrow(&broker).await?;
                socket.upgrade(&format!("/channels/{channel}/ws")).await?;
                clients.push(socket);
            }
        }
        flood(&broker, &channel, 40).await?;
        let early = broker.resident_bytes()?;
        flood(&broker, &channel, 200).await?;
        let late = broker.resident_bytes()?;
        // What is published meanwhile is kept in the history once: 10 MB; for each client it would be a gigabyte.
        let grown = late.saturating_sub(early) / MEBIBYTE;
        assert!(grown < 60, "{namespace}: {grown} MiB more");
    }
    Ok(())
}
