//! What clients can make the broker hold: each part of it by its line of the metrics, and all of it by what the system says that the
//! process takes.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use widecast_tests::broker::Answer;
use widecast_tests::message_pack::growing;
use widecast_tests::{Broker, Settings, eventually, within};

const MEBIBYTE: f64 = 1_048_576.0;

async fn publish(broker: &Broker, channel: &str, value: Vec<u8>) -> Result<()> {
    let path = format!("/channels/{channel}/messages");
    let answer = broker.post(&path, "application/msgpack", value).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Ok(())
}

/// What a part takes, in MiB.
async fn part(broker: &Broker, part: &str) -> Result<f64> {
    let label = format!("part=\"{part}\"");
    let metrics = broker.metrics().await?;
    Ok(metrics.sum(&["widecast_memory_bytes", &label]) / MEBIBYTE)
}

async fn read(broker: &Broker, path: &str) -> Result<Answer> {
    let request = broker.http().get(format!("{}{path}", broker.base()));
    Answer::read(request.send().await?).await
}

/// Sends a request whose answer nobody reads, on a socket that takes little.
async fn ask(broker: &Broker, request: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(broker.socket_address()).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[tokio::test]
async fn a_history_holds_messages_and_none_of_their_forms() -> Result<()> {
    let broker = Broker::start().await?;
    publish(&broker, "a", growing(300_000)).await?;
    for path in ["/channels/a/messages", "/channels/a/poll?timeout=0"] {
        assert_eq!(read(&broker, path).await?.status, 200);
    }
    eventually("the forms are gone", async || {
        Ok(part(&broker, "forms").await? < 0.5)
    })
    .await?;
    let history = part(&broker, "history").await?;
    assert!((0.2..0.5).contains(&history), "{history} MiB");
    Ok(())
}

#[tokio::test]
async fn all_subscribers_that_wait_for_a_message_share_its_form() -> Result<()> {
    const STREAMS: u32 = 10;
    let broker = Broker::start().await?;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = ask(&broker, &get("/v1/sse?channel=a&channel=b")).await?;
        let mut head = [0; 12];
        within("the head", async {
            Ok(stream.read_exact(&mut head).await?)
        })
        .await?;
        streams.push(stream);
    }
    eventually("all have joined", async || {
        let metrics = broker.metrics().await?;
        Ok(metrics.value("widecast_subscriptions") >= 2.0 * f64::from(STREAMS))
    })
    .await?;
    publish(&broker, "a", growing(300_000)).await?;
    eventually("it waits", async || Ok(part(&broker, "forms").await? > 3.0)).await?;
    let forms = part(&broker, "forms").await?;
    assert!(forms < 8.0, "{forms} MiB for one message of 4 MiB in JSON");
    drop(streams);
    eventually("it is gone", async || {
        Ok(part(&broker, "forms").await? < 0.5)
    })
    .await
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_together() -> Result<()> {
    let settings = Settings::new().key("limits.memory_bytes", (128 << 20).to_string());
    let broker = Broker::with(settings).await?;
    publish(&broker, "a", growing(300_000)).await?;
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(ask(&broker, &get("/channels/a/messages")).await?);
    }
    // 80 MiB are asked for, an eighth of the limit is 16 MiB.
    eventually("connections are reset", async || {
        let metrics = broker.metrics().await?;
        Ok(metrics.value("widecast_connections_accepted_total") > 20.0
            && metrics.value("widecast_connections") < 12.0)
    })
    .await?;
    let answers = part(&broker, "answers").await?;
    assert!(answers <= 16.0, "{answers} MiB");
    Ok(())
}

#[tokio::test]
async fn replies_that_polls_leave_behind_are_bounded_together() -> Result<()> {
    let settings = Settings::new().key("limits.memory_bytes", (128 << 20).to_string());
    let broker = Broker::with(settings).await?;
    publish(&broker, "a", growing(300_000)).await?;
    let mut sessions = Vec::new();
    for _ in 0..12 {
        let opened = read(&broker, "/v1/poll?session=new&timeout=0").await?;
        let session = opened.body["session"]
            .as_str()
            .context("a session")?
            .to_owned();
        let path = format!("/v1/poll?session={session}&cursor=1&timeout=0");
        let command = json!({ "type": "history", "channel": "a" }).to_string();
        broker
            .post(&path, "application/json", command.into_bytes())
            .await?;
        sessions.push(session);
    }
    eventually("sessions are ended", async || {
        Ok(part(&broker, "polled").await? <= 16.0)
    })
    .await?;
    // The next poll of one that was ended says why.
    let mut codes = Vec::new();
    for session in sessions {
        let answer = read(&broker, &format!("/v1/poll?session={session}&timeout=0")).await?;
        let frames = answer.body["frames"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        codes.extend(
            frames
                .iter()
                .filter(|frame| frame["type"] == "goodbye")
                .map(|frame| frame["code"].clone()),
        );
    }
    assert!(!codes.is_empty());
    assert!(codes.iter().all(|code| code == "overloaded"), "{codes:?}");
    Ok(())
}

/// Opens a session of polls that is listed in the channels with this value; gives how often that was refused.
async fn list(broker: &Broker, channels: &[String], data: &str) -> Result<usize> {
    let command = |channel| json!({ "type": "subscribe", "channel": channel, "presence": data });
    let commands: Value = channels.iter().map(command).collect();
    let body = commands.to_string().into_bytes();
    let path = "/v1/poll?session=new&timeout=0";
    let answer = broker.post(path, "application/json", body).await?;
    let frames = answer.body["frames"].as_array().context("frames")?;
    let refused = frames.iter().filter(|frame| frame["code"] == "overloaded");
    Ok(refused.count())
}

#[tokio::test]
async fn members_are_bounded_over_all_channels() -> Result<()> {
    // A sixteenth is 16 MiB: not all of 4800 members with 4000 bytes fit.
    let settings = Settings::new().key("limits.memory_bytes", (256 << 20).to_string());
    let broker = Broker::with(settings).await?;
    let data = "x".repeat(4000);
    let mut refused = 0;
    for session in 0..24 {
        let channels: Vec<_> = (0..200)
            .map(|channel| format!("{session}-{channel}"))
            .collect();
        refused += list(&broker, &channels, &data).await?;
        assert!(session > 0 || refused == 0, "there is room for some");
    }
    assert!(refused > 0);
    let presence = part(&broker, "presence").await?;
    assert!((15.0..17.0).contains(&presence), "{presence} MiB");
    Ok(())
}

#[tokio::test]
async fn members_are_listed_page_by_page() -> Result<()> {
    let settings = Settings::new().key("limits.members_per_list", "3");
    let broker = Broker::with(settings).await?;
    for _ in 0..5 {
        list(&broker, &["room".to_owned()], "here").await?;
    }
    let mut ids = Vec::new();
    let mut query = String::new();
    let mut pages = 0;
    loop {
        let page = read(&broker, &format!("/channels/room/presence{query}")).await?;
        let members = page.body["members"].as_array().context("members")?;
        ids.extend(members.iter().map(|member| member["id"].clone()));
        pages += 1;
        let Some(next) = page.body["next"].as_str() else {
            break;
        };
        query = format!("?after={next}");
    }
    assert_eq!((pages, ids.len()), (2, 5), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 5);
    Ok(())
}

#[tokio::test]
async fn new_work_is_refused_where_there_is_no_room_and_health_says_so() -> Result<()> {
    // Less than the process takes by itself.
    let settings = Settings::new()
        .message_bytes(1000)
        .key("limits.request_bytes", "1000")
        .key("limits.bytes_per_history", "1000")
        .key("limits.memory_bytes", (4 << 20).to_string());
    let broker = Broker::with(settings).await?;
    eventually("the broker has looked", async || {
        Ok(broker.metrics().await?.value("widecast_memory_pressure") >= 2.0)
    })
    .await?;
    let answer = broker
        .post("/channels/a/messages", "text/plain", b"x".to_vec())
        .await?;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (503, &json!("overloaded"))
    );
    assert_eq!(answer.retry_after, Some(1), "{answer:?}");
    assert_eq!(read(&broker, "/channels/a/poll").await?.status, 503);
    let refused = "widecast_limit_refusals_total{limit=\"memory_bytes\"}";
    let refused = broker.metrics().await?.value(refused);
    assert!((refused - 2.0).abs() < f64::EPSILON, "{refused}");
    assert_eq!(read(&broker, "/health/ready").await?.status, 503);
    assert_eq!(read(&broker, "/health/live").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn freed_memory_goes_back_to_the_system() -> Result<()> {
    let broker = Broker::with(Settings::new().key("timeouts.answer_ms", "1000")).await?;
    let resident = || {
        let kibibytes = u32::try_from(broker.resident_bytes()? / 1024)?;
        anyhow::Ok(f64::from(kibibytes) / 1024.0)
    };
    let before = resident()?;
    let mut unread = Vec::new();
    for channel in ["a", "b", "c", "d", "e", "f", "g"] {
        publish(&broker, channel, growing(600_000)).await?;
        let request = get(&format!("/channels/{channel}/messages"));
        unread.push(ask(&broker, &request).await?);
    }
    eventually("the answers wait", async || {
        Ok(part(&broker, "answers").await? > 20.0)
    })
    .await?;
    assert!(resident()? > before + 20.0);
    eventually("it is free and given back", async || {
        Ok(resident()? < before + 16.0)
    })
    .await
}

#[tokio::test]
async fn answers_with_the_same_large_message_share_it() -> Result<()> {
    let broker = Broker::start().await?;
    publish(&broker, "a", growing(600_000)).await?;
    let mut unread = Vec::new();
    for _ in 0..7 {
        unread.push(ask(&broker, &get("/channels/a/messages")).await?);
    }
    eventually("the answers wait", async || {
        Ok(part(&broker, "answers").await? > 20.0)
    })
    .await?;
    let forms = part(&broker, "forms").await?;
    assert!((7.0..14.0).contains(&forms), "{forms} MiB for all of them");
    Ok(())
}

#[tokio::test]
async fn the_long_head_of_a_request_that_waits_is_counted() -> Result<()> {
    let broker = Broker::start().await?;
    let long = "x".repeat(120_000);
    let head =
        format!("GET /channels/a/poll?timeout=60 HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n");
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(ask(&broker, &head).await?);
    }
    eventually("they are counted", async || {
        Ok(part(&broker, "requests").await? > 1.1)
    })
    .await?;
    drop(waiting);
    eventually("they are gone", async || {
        Ok(part(&broker, "requests").await? < 0.1)
    })
    .await
}
