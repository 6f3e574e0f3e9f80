//! A dead peer is noticed in both directions, without a message being sent.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;
use widecast_tests::address::address;
use widecast_tests::socket::{Bare, open_websocket};
use widecast_tests::{Broker, Heard, Join, Settings, Transport, eventually, within};

const OFTEN: Duration = Duration::from_millis(100);

async fn broker() -> Result<Broker> {
    Broker::with(Settings::new().heartbeat(OFTEN, Duration::from_millis(300))).await
}

/// How long [`patient_broker`] waits for an answer, and how often it therefore asks.
const PATIENCE: Duration = Duration::from_secs(2);

/// One that a busy machine does not keep a client from answering in time.
async fn patient_broker() -> Result<Broker> {
    Broker::with(Settings::new().heartbeat(OFTEN, PATIENCE)).await
}

async fn nobody_left(broker: &Broker) -> Result<()> {
    eventually("the broker notices", async || {
        Ok(broker.subscribers("news").await? == 0)
    })
    .await
}

#[tokio::test]
async fn a_websocket_is_pinged_and_stays_while_it_answers() -> Result<()> {
    let broker = patient_broker().await?;
    let url = address(&broker.base(), &["channels", "news", "ws"], &[])?;
    let (mut socket, _) = open_websocket(&url, &[]).await?;
    // Longer than the broker waits for an answer.
    for _ in 0..3 {
        let next = within("a ping", async { socket.next().await.context("the end") }).await??;
        assert!(matches!(next, Frame::Ping(_)), "{next:?}");
    }
    broker.publisher().publish("news", "still here").await?;
    let heard = async {
        loop {
            match socket.next().await.context("the end")?? {
                Frame::Ping(_) => {}
                frame => return Ok(frame),
            }
        }
    };
    assert_eq!(
        within("the message", heard).await?,
        Frame::text("still here")
    );
    Ok(())
}

#[tokio::test]
async fn a_websocket_that_answers_nothing_is_dropped() -> Result<()> {
    let broker = broker().await?;
    for target in ["/channels/news/ws", "/v1/ws"] {
        let mut silent = Bare::connect(&broker).await?;
        silent.upgrade(target).await?;
        let said = silent.to_end().await?;
        // The last word is a close frame with 4408.
        let close = said
            .windows(4)
            .any(|bytes| bytes[0] == 0x88 && bytes[2..] == 4408_u16.to_be_bytes());
        assert!(close, "{target}: {said:?}");
    }
    nobody_left(&broker).await
}

#[tokio::test]
async fn an_event_stream_and_a_line_stream_carry_heartbeats() -> Result<()> {
    let broker = broker().await?;
    let mut events = Bare::connect(&broker).await?;
    events.get("/channels/news/sse", "").await?;
    events.until(b"\r\n\r\n").await?;
    for _ in 0..3 {
        events.until(b"\n:").await?;
    }
    let mut lines = Bare::connect(&broker).await?;
    lines.get("/channels/news/stream", "").await?;
    lines.until(b"\r\n\r\n").await?;
    assert_eq!(lines.exactly(3).await?, b"\n\n\n");
    let mut pieces = Bare::connect(&broker).await?;
    pieces
        .get("/v1/stream?session=new", "Accept: application/msgpack\r\n")
        .await?;
    pieces.until(b"\r\n\r\n").await?;
    let length = pieces.exactly(4).await?;
    let length = u32::from_be_bytes(length.try_into().ok().context("four bytes")?);
    pieces.exactly(usize::try_from(length)?).await?;
    assert!(!pieces.exactly(4).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_stream_whose_client_is_gone_is_noticed() -> Result<()> {
    let broker = broker().await?;
    for transport in [
        Transport::RawSse,
        Transport::RawStream,
        Transport::EnvelopeSse,
        Transport::MessagePackStream,
    ] {
        let subscriber = broker.join(transport, &Join::channel("news")).await?;
        assert_eq!(broker.subscribers("news").await?, 1, "{transport:?}");
        subscriber.kill();
        nobody_left(&broker).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_gone_is_noticed_long_before_a_heartbeat() -> Result<()> {
    let slow = Settings::new().heartbeat(Duration::from_mins(10), Duration::from_mins(10));
    let broker = Broker::with(slow).await?;
    for target in ["/channels/news/sse", "/channels/news/stream"] {
        let mut closing = Bare::connect(&broker).await?;
        closing.get(target, "").await?;
        closing.until(b"\r\n\r\n").await?;
        drop(closing);
        nobody_left(&broker).await?;
        let mut resetting = Bare::connect(&broker).await?;
        resetting.get(target, "").await?;
        resetting.until(b"\r\n\r\n").await?;
        resetting.reset();
        nobody_left(&broker).await?;
    }
    let metrics = broker.metrics().await?;
    assert!(
        metrics.sum(&["widecast_sessions{"]).abs() < f64::EPSILON,
        "{metrics:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_welcome_tells_how_often_heartbeats_come() -> Result<()> {
    let broker = broker().await?;
    let mut session = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    assert_eq!(session.envelope()?.welcome()["heartbeat_ms"], 100);
    Ok(())
}

#[tokio::test]
async fn a_polling_session_that_is_not_polled_any_more_ends() -> Result<()> {
    let idle = Settings::new().poll_session_idle(Duration::from_millis(300));
    let broker = Broker::with(idle).await?;
    let mut session = broker
        .join(Transport::EnvelopePoll, &Join::channel("news"))
        .await?;
    nobody_left(&broker).await?;
    let ping = json!({ "type": "ping", "id": 1 });
    let refused = session.envelope()?.send(&ping).await;
    let text = format!("{:?}", refused.err().context("the session is gone")?);
    assert!(text.contains("session_not_found"), "{text}");
    Ok(())
}

#[tokio::test]
async fn an_idle_subscriber_that_answers_hears_the_next_message() -> Result<()> {
    let broker = patient_broker().await?;
    let transports = Transport::ALL.into_iter().filter(|it| !it.loads_scripts());
    let each = transports.map(|transport| is_idle_and_hears_the_next(&broker, transport));
    try_join_all(each).await?;
    Ok(())
}

async fn is_idle_and_hears_the_next(broker: &Broker, transport: Transport) -> Result<()> {
    let channel = format!("{transport:?}");
    let mut subscriber = broker.join(transport, &Join::channel(&channel)).await?;
    // Several heartbeats pass, and the client, which listens all the while, answers them.
    let idle = tokio::time::timeout(PATIENCE * 3, subscriber.listen()).await;
    assert!(idle.is_err(), "{transport:?} heard {idle:?}");
    broker.publisher().publish(&channel, "now").await?;
    let heard = subscriber.next().await?;
    assert!(
        matches!(&heard, Heard::Message(message) if message.data == "now"),
        "{transport:?}: {heard:?}"
    );
    Ok(())
}
