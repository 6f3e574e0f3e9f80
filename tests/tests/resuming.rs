//! Whatever the history gives is resumed, with the settings that everybody has, however many channels it is in and however
//! slowly the client reads. What the broker sends on top, replies among it, is never the reason why a session ends.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use widecast_tests::socket::{Bare, client_frame};
use widecast_tests::{Broker, Heard, Join, Settings, Subscriber, Transport, within};

/// Sessions, with the text of which the codecs make more or less.
const SESSIONS: [Transport; 6] = [
    Transport::JsonWebSocket,
    Transport::MessagePackWebSocket,
    Transport::EnvelopeSse,
    Transport::JsonStream,
    Transport::MessagePackStream,
    Transport::EnvelopePoll,
];

/// Publishes on each channel; gives the cursors from before that.
async fn fill(broker: &Broker, channels: &[String], bytes: usize) -> Result<Vec<String>> {
    let mut cursors = Vec::with_capacity(channels.len());
    for channel in channels {
        cursors.push(broker.end_of(channel).await?);
        let path = format!("/channels/{channel}/messages");
        let kind = "application/octet-stream";
        let answer = broker.post(&path, kind, vec![0; bytes]).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    Ok(cursors)
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

/// Subscribes to all channels at once, as clients do that come back, and counts what is heard until all is.
async fn resume_at_once(
    broker: &Broker,
    transport: Transport,
    channels: &[String],
    cursors: &[String],
) -> Result<()> {
    let mut session = broker.join(transport, &Join::channels(&[])).await?;
    let commands: Vec<_> = std::iter::zip(channels, cursors)
        .map(|(channel, cursor)| json!({ "type": "subscribe", "channel": channel, "cursor": cursor }))
        .collect();
    session.envelope()?.send(&commands.into()).await?;
    let (mut subscribed, mut heard) = (0, 0);
    while subscribed < channels.len() || heard < channels.len() {
        match session.next().await? {
            Heard::Message(_) => heard += 1,
            Heard::Frame(frame) if frame["type"] == "subscribed" => {
                assert_eq!(frame["recovered"], true, "{frame}");
                subscribed += 1;
            }
            other => bail!("{transport:?} heard {other:?} after {heard} messages"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn messages_that_are_larger_than_the_outbox_as_json() -> Result<()> {
    let broker = Broker::start().await?;
    let channels = names("large", 3);
    let cursors = fill(&broker, &channels, 900_000).await?;
    for transport in SESSIONS {
        resume_at_once(&broker, transport, &channels, &cursors).await?;
    }
    let (names, vector): (Vec<_>, Vec<_>) = std::iter::zip(&channels, &cursors)
        .map(|(channel, cursor)| (channel.as_str(), format!("{channel}={cursor}")))
        .unzip();
    for transport in [Transport::RawSse, Transport::RawStream, Transport::LongPoll] {
        let join = Join::channels(&names).from(vector.join(","));
        broker.join(transport, &join).await?.data(3).await?;
    }
    let join = Join::channel(&channels[0]).from(cursors[0].clone());
    broker
        .join(Transport::RawWebSocket, &join)
        .await?
        .data(1)
        .await?;
    Ok(())
}

#[tokio::test]
async fn as_many_channels_as_a_session_may_have() -> Result<()> {
    let broker = Broker::start().await?;
    let channels = names("many", 256);
    let cursors = fill(&broker, &channels, 40_000).await?;
    for transport in [
        Transport::JsonWebSocket,
        Transport::MessagePackStream,
        Transport::EnvelopePoll,
    ] {
        resume_at_once(&broker, transport, &channels, &cursors).await?;
    }
    Ok(())
}

#[tokio::test]
async fn commands_are_answered_while_the_past_is_being_sent() -> Result<()> {
    let broker = Broker::start().await?;
    let channels = names("busy", 3);
    let cursors = fill(&broker, &channels, 900_000).await?;
    for transport in SESSIONS {
        let mut session = broker.join(transport, &Join::channels(&[])).await?;
        let mut commands = Vec::new();
        for (channel, cursor) in std::iter::zip(&channels, &cursors) {
            commands.push(json!({ "type": "subscribe", "channel": channel, "cursor": cursor }));
            commands.push(json!({ "type": "ping", "id": 7 }));
            commands.push(json!({ "type": "publish", "id": 8, "channel": "other", "data": "x" }));
            if !transport.polls() {
                // Polls come after the commands, so that these cannot wait until large answers have been taken.
                commands.push(json!({ "type": "history", "id": 9, "channel": channel }));
            }
        }
        session.envelope()?.send(&commands.into()).await?;
        let mut frames = BTreeMap::<String, usize>::new();
        let mut kinds = vec!["message", "pong", "published", "subscribed"];
        if !transport.polls() {
            kinds.push("history");
        }
        while frames.values().sum::<usize>() < kinds.len() * channels.len() {
            let kind = match session.next().await? {
                Heard::Message(_) => "message".to_owned(),
                Heard::Frame(frame) => frame["type"].as_str().context("a type")?.to_owned(),
                other => bail!("{transport:?} heard {other:?} after {frames:?}"),
            };
            *frames.entry(kind).or_default() += 1;
        }
        let expected = kinds.iter().map(|kind| ((*kind).to_owned(), 3));
        assert_eq!(frames, expected.collect(), "{transport:?}");
    }
    Ok(())
}

/// Everything that comes until so many messages have, in order, one piece after the other with a pause between.
async fn read_slowly(stream: &mut Bare, bytes: usize, pieces: usize) -> Result<()> {
    for _ in 0..pieces {
        stream.exactly(bytes / pieces).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_alive_however_late_its_pongs_come() -> Result<()> {
    const BYTES: usize = 600_000;
    let settings = Settings::new()
        .outbox_bytes(100_000, 8192)
        .heartbeat(Duration::from_millis(1500), Duration::from_millis(1500));
    let broker = Broker::with(settings).await?;
    let channels = names("slow", 3);
    let cursors = fill(&broker, &channels, BYTES / 4).await?;
    let mut socket = Bare::connect_narrow(&broker).await?;
    socket.upgrade("/v1/ws").await?;
    for (channel, cursor) in std::iter::zip(&channels, &cursors) {
        let command = json!({ "type": "subscribe", "channel": channel, "cursor": cursor });
        socket
            .send(&client_frame(0x81, command.to_string().as_bytes()))
            .await?;
    }
    // Longer than five of its heartbeats, none of which it answers.
    read_slowly(&mut socket, BYTES, 150).await
}

#[tokio::test]
async fn a_client_that_resumes_and_does_not_read_is_let_go() -> Result<()> {
    let settings = Settings::new()
        .outbox_bytes(100_000, 8192)
        .heartbeat(Duration::from_millis(300), Duration::from_millis(300));
    let broker = Broker::with(settings).await?;
    let channels = names("deaf", 1);
    let cursors = fill(&broker, &channels, 900_000).await?;
    for target in ["stream", "sse", "ws"] {
        let mut socket = Bare::connect_narrow(&broker).await?;
        let target = format!("/channels/{}/{target}?cursor={}", channels[0], cursors[0]);
        if target.contains("/ws") {
            socket.upgrade(&target).await?;
        } else {
            socket.get(&target, "").await?;
        }
        widecast_tests::eventually("it is gone", async || {
            Ok(broker.subscribers(&channels[0]).await? == 0)
        })
        .await?;
    }
    Ok(())
}

/// Resumes several channels in a session that does not read.
async fn hoard(broker: &Broker, channels: &[String], cursors: &[String]) -> Result<Bare> {
    let mut socket = Bare::connect_narrow(broker).await?;
    socket.upgrade("/v1/ws").await?;
    let commands: Vec<Value> = std::iter::zip(channels, cursors)
        .map(|(channel, cursor)| json!({ "type": "subscribe", "channel": channel, "cursor": cursor }))
        .collect();
    let commands = Value::from(commands).to_string();
    socket
        .send(&client_frame(0x81, commands.as_bytes()))
        .await?;
    Ok(socket)
}

#[tokio::test]
async fn sessions_that_never_read_hold_nothing_of_the_past() -> Result<()> {
    const CHANNELS: usize = 40;
    // A history of one message: what a session holds back would be all that is left of the others.
    let settings = Settings::new().history("default", 1, 2 << 20);
    let broker = Broker::with(settings).await?;
    let channels = names("hoard", CHANNELS);
    fill(&broker, &channels, 900_000).await?;
    let before = broker.resident_bytes()?;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        let cursors = fill(&broker, &channels, 900_000).await?;
        sockets.push(hoard(&broker, &channels, &cursors).await?);
        within("all are subscribed", async {
            let last = channels.last().context("a channel")?;
            while broker.subscribers(last).await? < sockets.len() as u64 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        })
        .await?;
    }
    fill(&broker, &channels, 900_000).await?;
    // Each generation has 36 MB.
    let grown = broker.resident_bytes()?.saturating_sub(before) >> 20;
    assert!(grown < 60, "{grown} MiB");
    Ok(())
}

/// A subscriber that stays behind while more comes hears everything once and in order, whatever it is sent from.
async fn follow(broker: &Broker, mut subscriber: Subscriber, messages: u64) -> Result<()> {
    let filler = "x".repeat(2000);
    let publishing = async {
        for number in 0..messages {
            broker
                .publisher()
                .publish("follow", json!([number, filler]))
                .await?;
        }
        anyhow::Ok(())
    };
    let reading = async {
        for number in 0..messages {
            let message = subscriber.message().await?;
            let data = match message.data.as_str() {
                Some(text) => serde_json::from_str(text)?,
                None => message.data,
            };
            assert_eq!(data[0], number, "{:?}", subscriber.transport());
        }
        anyhow::Ok(())
    };
    tokio::try_join!(publishing, reading)?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_falls_behind_again_and_again_hears_everything_in_order() -> Result<()> {
    // Room for two messages: whoever is one late is behind.
    let broker = Broker::with(Settings::new().outbox_bytes(5000, 8192)).await?;
    for transport in Transport::ALL.into_iter().filter(|it| !it.loads_scripts()) {
        let join = Join::channel("follow");
        let join = match transport {
            Transport::LongPoll | Transport::ShortPoll => join.from(broker.end_of("follow").await?),
            _ => join,
        };
        let subscriber = broker.join(transport, &join).await?;
        follow(&broker, subscriber, 150).await?;
    }
    Ok(())
}
