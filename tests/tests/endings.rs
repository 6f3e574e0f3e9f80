//! How sessions and streams end: the metrics and the log say what happened.

use std::time::Duration;

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;
use widecast_tests::address::address;
use widecast_tests::socket::{Bare, open_websocket};
use widecast_tests::{Broker, Settings, eventually, within};

/// Waits until one session of a transport has ended like this, and none in another way.
async fn ends_as(broker: &Broker, transport: &str, ending: &str) -> Result<()> {
    let transport = format!("transport=\"{transport}\"");
    let ending = format!("ending=\"{ending}\"");
    let ended = "widecast_sessions_ended_total{";
    eventually("the end is counted", async || {
        let metrics = broker.metrics().await?;
        Ok(metrics.sum(&[ended, &transport, &ending]) >= 1.0)
    })
    .await?;
    let all = broker.metrics().await?.sum(&[ended, &transport]);
    assert!((all - 1.0).abs() < f64::EPSILON, "{all} sessions ended");
    Ok(())
}

async fn stream(broker: &Broker, target: &str) -> Result<Bare> {
    let mut stream = Bare::connect_narrow(broker).await?;
    stream.get(target, "").await?;
    stream.until(b"\r\n\r\n").await?;
    Ok(stream)
}

#[tokio::test]
async fn a_client_that_leaves_has_left() -> Result<()> {
    let broker = Broker::start().await?;
    let url = address(&broker.base(), &["channels", "news", "ws"], &[])?;
    let (mut socket, _) = open_websocket(&url, &[]).await?;
    socket.send(Frame::Close(None)).await?;
    drop(socket);
    ends_as(&broker, "websocket", "client_left").await?;
    stream(&broker, "/channels/news/sse")
        .await?
        .finish()
        .await?;
    ends_as(&broker, "sse", "client_left").await
}

#[tokio::test]
async fn a_connection_that_breaks_has_failed() -> Result<()> {
    let broker = Broker::start().await?;
    stream(&broker, "/channels/news/stream").await?.reset();
    ends_as(&broker, "stream", "connection_failed").await
}

#[tokio::test]
async fn a_client_that_is_silent_is_ended_by_the_heartbeat() -> Result<()> {
    let settings =
        Settings::new().heartbeat(Duration::from_millis(100), Duration::from_millis(300));
    let broker = Broker::with(settings).await?;
    let mut silent = Bare::connect(&broker).await?;
    silent.upgrade("/v1/ws").await?;
    ends_as(&broker, "websocket", "heartbeat_timeout").await
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_a_slow_consumer() -> Result<()> {
    let patience = Duration::from_secs(2);
    let settings = Settings::new()
        .outbox_bytes(200_000, 8192)
        .heartbeat(patience, patience);
    let broker = Broker::with(settings).await?;
    let _deaf = stream(&broker, "/channels/news/stream").await?;
    // All at once: with less than its outbox holds, it would be taken for dead.
    let message = json!({ "channel": "news", "data": "x".repeat(50_000) });
    let batch = json!({ "messages": vec![message; 20] }).to_string();
    let answer = broker
        .post("/v1/publish", "application/json", batch.into_bytes())
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    ends_as(&broker, "stream", "slow_consumer").await
}

#[tokio::test]
async fn a_poll_is_answered_and_a_refused_stream_never_began() -> Result<()> {
    let broker = Broker::start().await?;
    let poll = "/channels/news/poll?timeout=0.01";
    broker.http().get(broker.base() + poll).send().await?;
    ends_as(&broker, "poll", "answered").await?;
    let elsewhere = "/channels/news/sse?cursor=other%3D1-1";
    broker.http().get(broker.base() + elsewhere).send().await?;
    ends_as(&broker, "sse", "never_begun").await
}

#[tokio::test]
async fn a_session_may_end_because_of_what_its_client_sends() -> Result<()> {
    let broker = Broker::start().await?;
    let url = address(&broker.base(), &["v1", "ws"], &[])?;
    let (mut socket, _) = open_websocket(&url, &[]).await?;
    // The subprotocol is JSON, which a binary message is not.
    socket.send(Frame::binary(vec![1])).await?;
    let close = async {
        while socket.next().await.is_some() {}
        Ok(())
    };
    within("the close", close).await?;
    drop(socket);
    ends_as(&broker, "websocket", "refused").await
}

#[tokio::test]
async fn the_log_says_of_which_session_it_speaks() -> Result<()> {
    let settings = Settings::new().key("log.filter", "\"info,widecast::session=debug\"");
    let broker = Broker::with(settings).await?;
    stream(&broker, "/channels/news/sse")
        .await?
        .finish()
        .await?;
    ends_as(&broker, "sse", "client_left").await?;
    let log = broker.log();
    let line = log
        .lines()
        .find(|line| line.contains("the session has ended"));
    let line = line.unwrap_or(&log);
    for part in [
        "session.transport",
        "sse",
        "session.id",
        "client.address",
        "127.0.0.1",
        "client_left",
    ] {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    Ok(())
}
