//! Nothing is lost and nothing is heard twice at the seam between two polls, and an answer lost on the wire is given again.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;
use widecast_tests::subscriber::raw_poll::{PollKind, RawPoll};
use widecast_tests::{Broker, Join, Settings, eventually, within};

const CHANNEL: &str = "polled:news";
const MESSAGES: usize = 600;

async fn broker() -> Result<Broker> {
    let settings = Settings::new()
        .workers(2)
        .history("polled", 10_000, 64 << 20);
    Broker::with(settings.script_access("polled")).await
}

/// Publishes one by one, so that polls end and begin between the messages.
async fn publish(broker: &Broker) -> Result<()> {
    let publisher = broker.publisher();
    for number in 0..MESSAGES {
        publisher.publish(CHANNEL, json!([number])).await?;
    }
    Ok(())
}

fn expected() -> Vec<Value> {
    (0..MESSAGES).map(|number| json!([number])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_under_load_hear_everything_exactly_once() -> Result<()> {
    let broker = broker().await?;
    let mut polling = JoinSet::new();
    for kind in [PollKind::Long, PollKind::Short, PollKind::Jsonp].repeat(3) {
        let poll = RawPoll::open(&broker, &Join::channel(CHANNEL), kind).await?;
        polling.spawn(poll_with_losses(poll, polling.len()));
    }
    publish(&broker).await?;
    while let Some(heard) = within("the polls", async { Ok(polling.join_next().await) }).await? {
        assert_eq!(heard??, expected());
    }
    Ok(())
}

/// Polls until everything is heard; each third answer is thrown away or not waited for, as if the wire had lost it.
async fn poll_with_losses(poll: RawPoll, number: usize) -> Result<Vec<Value>> {
    let mut cursor = poll.cursor().context("a poll knows its cursor")?;
    let mut heard = Vec::new();
    for round in number.. {
        let answer = match round % 3 {
            // Given up while it waits or is being written.
            0 => match timeout(Duration::from_millis(2), poll.ask(Some(&cursor))).await {
                Ok(answer) => answer?,
                Err(_) => continue,
            },
            // Read, and lost all the same: the next answer from the same cursor begins with the same messages.
            1 => {
                let lost = poll.ask(Some(&cursor)).await?;
                let again = poll.ask(Some(&cursor)).await?;
                let (lost, given) = (messages(&lost)?, messages(&again)?);
                assert!(
                    given.starts_with(&lost),
                    "{lost:?} was not given again: {given:?}"
                );
                again
            }
            _ => poll.ask(Some(&cursor)).await?,
        };
        assert_eq!(answer["recovered"], true, "{answer}");
        heard.extend(messages(&answer)?);
        answer["cursor"]
            .as_str()
            .context("a cursor")?
            .clone_into(&mut cursor);
        if heard.len() >= MESSAGES {
            break;
        }
    }
    Ok(heard)
}

fn messages(answer: &Value) -> Result<Vec<Value>> {
    let messages = answer["messages"].as_array().context("messages")?;
    Ok(messages
        .iter()
        .map(|message| message["data"].clone())
        .collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_poll_with_an_older_cursor_is_given_the_same_frames() -> Result<()> {
    let broker = broker().await?;
    let opened = poll_session(&broker, "new", None).await?;
    let session = opened["session"].as_str().context("a session")?.to_owned();
    let subscribe = json!({ "type": "subscribe", "id": 1, "channel": CHANNEL });
    let path = format!("/v1/sessions/{session}/commands");
    let answer = broker
        .post(&path, "application/json", serde_json::to_vec(&subscribe)?)
        .await?;
    assert!(answer.status < 300, "{answer:?}");

    let storm = publish(&broker);
    let polling = async {
        let mut cursor = opened["cursor"].as_str().context("a cursor")?.to_owned();
        let mut heard = Vec::new();
        for round in 0.. {
            let mut answer = poll_session(&broker, &session, Some(&cursor)).await?;
            if round % 2 == 0 {
                let lost = answer["frames"].as_array().context("frames")?.clone();
                answer = poll_session(&broker, &session, Some(&cursor)).await?;
                let again = answer["frames"].as_array().context("frames")?;
                assert!(
                    again.starts_with(&lost),
                    "{lost:?} was not given again: {again:?}"
                );
            }
            let frames = answer["frames"].as_array().context("frames")?;
            let messages = frames.iter().filter(|frame| frame["type"] == "message");
            heard.extend(messages.map(|frame| frame["data"].clone()));
            answer["cursor"]
                .as_str()
                .context("a cursor")?
                .clone_into(&mut cursor);
            if heard.len() >= MESSAGES {
                break;
            }
        }
        Ok(heard)
    };
    let (stormed, heard) = tokio::join!(storm, within("the polls", polling));
    stormed?;
    assert_eq!(heard?, expected());
    Ok(())
}

async fn poll_session(broker: &Broker, session: &str, cursor: Option<&str>) -> Result<Value> {
    let mut query = vec![("session", session)];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    broker.get(&["v1", "poll"], &query).await
}

#[tokio::test]
async fn a_long_poll_waits_and_a_short_poll_does_not() -> Result<()> {
    let broker = broker().await?;
    let cursor = broker.end_of(CHANNEL).await?;
    let path = ["channels", CHANNEL, "poll"];
    let short = broker
        .get(&path, &[("cursor", &cursor), ("timeout", "0")])
        .await?;
    assert_eq!(short["messages"], json!([]));
    let query = [("cursor", cursor.as_str()), ("timeout", "20")];
    let waiting = broker.get(&path, &query);
    let publishing = async { broker.publisher().publish(CHANNEL, "now").await };
    let (answer, published) = tokio::join!(within("the long poll", waiting), publishing);
    let answer = answer?;
    assert_eq!(messages(&answer)?, [json!("now")]);
    assert_eq!(answer["cursor"], published?.cursor());
    Ok(())
}

#[tokio::test]
async fn a_long_poll_ends_without_messages_when_its_time_is_over() -> Result<()> {
    let broker = broker().await?;
    let cursor = broker.end_of(CHANNEL).await?;
    let query = [("cursor", cursor.as_str()), ("timeout", "1")];
    let answer = within(
        "the answer",
        broker.get(&["channels", CHANNEL, "poll"], &query),
    )
    .await?;
    assert_eq!(
        answer,
        json!({ "messages": [], "cursor": cursor, "recovered": true })
    );
    Ok(())
}

#[tokio::test]
async fn a_burst_larger_than_the_outbox_is_no_loss_for_a_poll_that_waits() -> Result<()> {
    const BURST: usize = 20;
    let settings =
        Settings::new()
            .workers(1)
            .outbox_bytes(4096, 8192)
            .history("polled", 1000, 64 << 20);
    let broker = Broker::with(settings).await?;
    let poll = RawPoll::open(&broker, &Join::channel(CHANNEL), PollKind::Long).await?;
    let mut cursor = poll.cursor().context("a poll knows its cursor")?;
    let filler = "x".repeat(1000);
    let burst: Vec<_> = (0..BURST)
        .map(|number| json!({"channels": [CHANNEL], "data": [number, filler]}))
        .collect();
    let burst = serde_json::to_vec(&json!({ "messages": burst }))?;
    let waiting = poll.ask(Some(&cursor));
    let publishing = async {
        eventually("the poll waits", async || {
            Ok(broker.subscribers(CHANNEL).await? == 1)
        })
        .await?;
        broker.post("/v1/publish", "application/json", burst).await
    };
    let (mut answer, published) = tokio::try_join!(waiting, publishing)?;
    assert_eq!(published.status, 200, "{published:?}");
    let mut heard = Vec::new();
    loop {
        assert_eq!(answer["recovered"], true, "{answer}");
        heard.extend(messages(&answer)?.iter().map(|data| data[0].clone()));
        if heard.len() >= BURST {
            break;
        }
        answer["cursor"]
            .as_str()
            .context("a cursor")?
            .clone_into(&mut cursor);
        answer = within("the rest", poll.ask(Some(&cursor))).await?;
    }
    let expected: Vec<_> = (0..BURST).map(Value::from).collect();
    assert_eq!(heard, expected);
    Ok(())
}

#[tokio::test]
async fn a_poll_with_a_bad_cursor_carries_out_no_commands() -> Result<()> {
    let broker = broker().await?;
    let before = broker.end_of(CHANNEL).await?;
    let publish = json!({"type": "publish", "id": 1, "channel": CHANNEL, "data": "twice"});
    let path = "/v1/poll?session=new&cursor=none&timeout=0";
    let body = serde_json::to_vec(&publish)?;
    let answer = broker.post(path, "application/json", body).await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(broker.end_of(CHANNEL).await?, before);
    Ok(())
}

/// The answer to a poll for two channels without a cursor, asked with the sender key of the tests' page.
async fn first_poll(broker: &Broker, timeout: &str) -> Result<Value> {
    let query = [
        ("channel", CHANNEL),
        ("channel", "polled:b"),
        ("timeout", timeout),
    ];
    broker.get(&["v1", "poll"], &query).await
}

#[tokio::test]
async fn a_poll_without_a_cursor_waits_for_as_long_as_it_says() -> Result<()> {
    let broker = broker().await?;
    let publish = async {
        eventually("the poll waits", async || {
            Ok(broker.subscribers("polled:b").await? == 1)
        })
        .await?;
        broker.publisher().publish("polled:b", "first").await
    };
    let (answer, published) = tokio::join!(first_poll(&broker, "20"), publish);
    let (answer, published) = (answer?, published?);
    assert_eq!(answer["messages"][0]["data"], "first", "{answer}");
    assert_eq!(answer["recovered"], true);
    let cursor = answer["cursor"].as_str().context("cursor")?;
    assert!(cursor.contains(&published.cursor()), "{cursor}");
    for timeout in ["0.01", "0"] {
        let answer = first_poll(&broker, timeout).await?;
        assert_eq!(answer["messages"], json!([]), "{answer}");
        assert_eq!(answer["cursor"], cursor);
    }
    Ok(())
}
