//! How a broker starts, refuses to start, and takes leave.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use widecast_tests::broker::Signal;
use widecast_tests::cli::run;
use widecast_tests::socket::Bare;
use widecast_tests::subscriber::event_stream::EventStream;
use widecast_tests::{Broker, Heard, Join, Settings, Subscriber, Transport, within};

const SPREAD: Duration = Duration::from_secs(4);
const DEADLINE: Duration = Duration::from_secs(5);

async fn broker() -> Result<Broker> {
    Broker::with(Settings::new().shutdown(SPREAD, DEADLINE)).await
}

#[tokio::test]
async fn a_signal_ends_the_broker_with_status_0_and_everybody_is_told() -> Result<()> {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let mut broker = broker().await?;
        let mut subscribers = Vec::new();
        for transport in Transport::ALL
            .into_iter()
            .filter(|transport| !transport.polls())
        {
            subscribers.push(broker.join(transport, &Join::channel("news")).await?);
        }
        let began = Instant::now();
        broker.signal(signal).await?;
        for subscriber in &mut subscribers {
            takes_leave(subscriber).await?;
        }
        let status = broker.ended().await?;
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(
            began.elapsed() < DEADLINE,
            "{signal:?}: all are gone, nothing to wait for"
        );
    }
    Ok(())
}

/// Hears the goodbye where the transport has one, and the end.
async fn takes_leave(subscriber: &mut Subscriber) -> Result<()> {
    let transport = subscriber.transport();
    let mut heard = subscriber.next().await?;
    if transport != Transport::RawWebSocket {
        let Heard::Frame(frame) = &heard else {
            anyhow::bail!("{transport:?} heard {heard:?} instead of a goodbye");
        };
        assert_eq!(
            (&frame["type"], &frame["code"]),
            (&json!("goodbye"), &json!("shutting_down"))
        );
        assert_eq!(frame["reconnect"], true, "{frame}");
        let after = frame["reconnect_after_ms"]
            .as_u64()
            .context("reconnect_after_ms")?;
        assert!(u128::from(after) <= SPREAD.as_millis(), "{after}");
        heard = subscriber.next().await?;
    }
    let Heard::Closed { code, .. } = heard else {
        anyhow::bail!("{transport:?} heard {heard:?} instead of the end");
    };
    let is_websocket = format!("{transport:?}").ends_with("WebSocket");
    assert_eq!(code, is_websocket.then_some(1001), "{transport:?}");
    Ok(())
}

#[tokio::test]
async fn the_reconnects_are_spread() -> Result<()> {
    const CLIENTS: usize = 30;
    let mut broker = broker().await?;
    let mut sessions = Vec::new();
    for _ in 0..CLIENTS {
        sessions.push(
            broker
                .join(Transport::JsonWebSocket, &Join::channel("news"))
                .await?,
        );
    }
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let url = format!("{}/channels/news/sse", broker.base());
        let mut events = EventStream::new(broker.http().get(url).send().await?);
        let (mut retry, mut id) = (None, None);
        while retry.is_none() || id.is_none() {
            let block = within("the beginning", events.next())
                .await?
                .context("the end")?;
            (retry, id) = (retry.or(block.retry), id.or(block.id));
        }
        streams.push(events);
    }
    broker.signal(Signal::Terminate).await?;
    let mut delays = Vec::new();
    for session in &mut sessions {
        match session.next().await? {
            Heard::Frame(frame) => {
                delays.push(frame["reconnect_after_ms"].as_u64().context("no delay")?);
            }
            other => anyhow::bail!("heard {other:?}"),
        }
    }
    assert!(are_spread(delays), "goodbyes");
    let mut retries = Vec::new();
    for events in &mut streams {
        let mut retry = None;
        while let Some(block) = within("the end", events.next()).await? {
            retry = block.retry.or(retry);
        }
        retries.push(retry.context("no retry")?.parse()?);
    }
    assert!(are_spread(retries), "retries");
    assert_eq!(broker.ended().await?.code(), Some(0));
    Ok(())
}

/// Whether the delays cover the window: not all in one half of it, and few of them the same.
fn are_spread(mut delays: Vec<u64>) -> bool {
    delays.sort_unstable();
    let half = u64::try_from(SPREAD.as_millis() / 2).unwrap_or(u64::MAX);
    let count = delays.len();
    let halves = delays.first().is_some_and(|&first| first < half)
        && delays.last().is_some_and(|&last| last > half);
    delays.dedup();
    halves && delays.len() > count / 2
}

#[tokio::test]
async fn a_waiting_poll_is_answered_when_the_broker_ends() -> Result<()> {
    let mut broker = broker().await?;
    let cursor = broker.end_of("news").await?;
    let url = format!(
        "{}/channels/news/poll?cursor={cursor}&timeout=30",
        broker.base()
    );
    let waiting = tokio::spawn(broker.http().get(url).send());
    widecast_tests::eventually("the poll waits", async || {
        Ok(broker.subscribers("news").await? == 1)
    })
    .await?;
    broker.signal(Signal::Terminate).await?;
    let answer = within("the answer", async { Ok(waiting.await??) }).await?;
    assert!(matches!(answer.status().as_u16(), 200 | 503), "{answer:?}");
    assert_eq!(broker.ended().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_delay_the_end_beyond_the_deadline() -> Result<()> {
    let mut broker = Broker::with(
        Settings::new()
            .shutdown(SPREAD, Duration::from_secs(1))
            .history("big", 1000, 64 << 20),
    )
    .await?;
    let mut deaf = Bare::connect_narrow(&broker).await?;
    deaf.get("/channels/big:a/sse", "").await?;
    deaf.until(b"\r\n\r\n").await?;
    for _ in 0..10 {
        broker
            .publisher()
            .publish("big:a", "x".repeat(100_000))
            .await?;
    }
    let began = Instant::now();
    broker.signal(Signal::Terminate).await?;
    assert_eq!(broker.ended().await?.code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn who_comes_while_the_broker_takes_leave_is_sent_elsewhere_at_once() -> Result<()> {
    let long = Duration::from_mins(10);
    let settings = Settings::new().shutdown(SPREAD, long);
    let settings = settings.key("timeouts.head_ms", long.as_millis().to_string());
    let mut broker = Broker::with(settings).await?;
    // The broker waits for it, since it does not answer the close frame.
    let mut slow = Bare::connect(&broker).await?;
    slow.upgrade("/channels/news/ws").await?;
    broker.signal(Signal::Terminate).await?;
    slow.until(&1001_u16.to_be_bytes()).await?;
    // It asks nothing, and is not waited for.
    let _silent = Bare::connect(&broker).await?;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, headers, status) in [
        ("/health/ready", "", 503),
        ("/health/live", "", 200),
        // An EventSource that is refused never comes back.
        ("/channels/news/sse", "", 200),
        ("/channels/news/poll", "", 503),
        ("/channels/news/ws", upgrade, 503),
    ] {
        let mut late = Bare::connect(&broker).await?;
        late.get(path, headers).await?;
        let answer = String::from_utf8(late.to_end().await?)?.to_ascii_lowercase();
        let expected = format!("http/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{path}: {answer}");
        assert!(
            answer.contains("\r\nconnection: close\r\n"),
            "{path}: {answer}"
        );
        assert_eq!(
            answer.contains("\"shutting_down\""),
            status == 503,
            "{path}"
        );
        assert_eq!(
            answer.contains("\r\n\r\nretry: "),
            path.ends_with("/sse"),
            "{path}: {answer}"
        );
    }
    slow.reset();
    assert_eq!(broker.ended().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn nobody_is_let_in_while_the_broker_ends() -> Result<()> {
    let mut broker = broker().await?;
    broker.signal(Signal::Terminate).await?;
    assert_eq!(broker.ended().await?.code(), Some(0));
    assert!(broker.publisher().publish("news", 1).await.is_err());
    Ok(())
}

#[tokio::test]
async fn after_a_restart_on_the_same_port_clients_come_back_and_are_told_of_the_gap() -> Result<()>
{
    let mut broker = broker().await?;
    let mut subscriber = broker
        .join(Transport::RawSse, &Join::channel("news"))
        .await?;
    broker.publisher().publish("news", 1).await?;
    subscriber.message().await?;
    broker.restart().await?;
    assert_eq!(subscriber.closed().await?, None);
    let cursor = subscriber.cursor().context("a cursor")?;
    let mut again = broker
        .join(Transport::RawSse, &Join::channel("news").from(cursor))
        .await?;
    assert!(matches!(again.next().await?, Heard::Gap { .. }));
    Ok(())
}

/// One clear line on standard error and status 2.
async fn refuses(arguments: &[&str], words: &[&str]) -> Result<()> {
    let run = run(arguments).await?;
    assert_eq!(run.status, 2, "{run:?}");
    for word in words {
        assert!(run.errors.contains(word), "no {word:?} in {run:?}");
    }
    assert!(!run.errors.contains("panicked"), "{run:?}");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line_and_status_2() -> Result<()> {
    let broker = Broker::start().await?;
    let address = broker.socket_address().to_string();
    refuses(&["serve", "--listen", &address], &[&address, "in use"]).await?;
    let run = run(&["serve", "--listen", &address]).await?;
    assert_eq!(run.errors.trim().lines().count(), 1, "{run:?}");
    Ok(())
}

#[tokio::test]
async fn bad_settings_and_flags_are_told_with_the_cure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("widecast.toml");
    let path = file.to_str().context("a path")?;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--config", path];
    std::fs::write(&file, "[limits]\nmesage_bytes = 1\n")?;
    refuses(&serve, &["mesage_bytes", "message_bytes", path]).await?;
    std::fs::write(&file, "[limits]\nmessage_bytes = \"many\"\n")?;
    refuses(&serve, &["limits.message_bytes", "many"]).await?;
    std::fs::write(&file, "[limits\n")?;
    refuses(&serve, &[path]).await?;
    let missing = directory.path().join("missing.toml");
    let missing = missing.to_str().context("a path")?;
    refuses(&["serve", "--config", missing], &[missing]).await?;
    refuses(&["serve", "--lisen", "127.0.0.1:0"], &["--listen"]).await?;
    refuses(&["serve", "--listen", "here"], &["here"]).await?;
    refuses(&["dance"], &["dance"]).await
}

#[tokio::test]
async fn a_public_address_without_authentication_is_refused_with_the_way_out() -> Result<()> {
    refuses(&["serve", "--listen", "0.0.0.0:0"], &["0.0.0.0", "allow"]).await
}
