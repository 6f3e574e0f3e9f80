//! What is beyond a limit is refused in words that name the setting, and counted by it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use widecast_tests::broker::Answer;
use widecast_tests::socket::{Bare, client_frame};
use widecast_tests::{Broker, Settings, eventually};

/// Settings that refuse nothing: an answer has less in it, or they say for whom others are.
const REFUSE_NOTHING: [&str; 4] = [
    "members_per_list",
    "messages_per_history",
    "bytes_per_history",
    "loopback_has_a_share",
];

/// The sample of one limit.
fn counter(limit: &str) -> String {
    format!("widecast_limit_refusals_total{{limit=\"{limit}\"}}")
}

async fn refusals(broker: &Broker, limit: &str) -> Result<f64> {
    Ok(broker.metrics().await?.value(&counter(limit)))
}

/// A broker with limits that are soon reached.
async fn narrow() -> Result<Broker> {
    let limits = [
        ("limits.message_bytes", 10),
        ("limits.request_bytes", 3000),
        ("limits.unfinished_bytes", 3000),
        ("limits.presence_bytes", 2),
        ("limits.channel_name_bytes", 8),
        ("limits.channels_per_session", 2),
        ("limits.messages_per_batch", 2),
        ("limits.commands_per_frame", 3),
        ("limits.fragments_per_message", 2),
        ("server.max_connections", 20),
    ];
    let settings = limits
        .iter()
        .fold(Settings::new(), |settings, (key, value)| {
            settings.key(key, value.to_string())
        });
    Broker::with(settings).await
}

async fn post(broker: &Broker, path: &str, body: impl ToString) -> Result<Answer> {
    let body = body.to_string().into_bytes();
    broker.post(path, "application/json", body).await
}

/// What a text says of a limit, and that it was counted once more than before.
async fn assert_told(broker: &Broker, limit: &str, said: &Value, count: f64) -> Result<()> {
    let setting = match limit {
        "max_connections" => "server.max_connections".to_owned(),
        limit => format!("limits.{limit}"),
    };
    assert!(said.to_string().contains(&setting), "{setting}: {said}");
    let counted = refusals(broker, limit).await?;
    assert!(
        (counted - count).abs() < f64::EPSILON,
        "{limit}: {counted}, expected {count}"
    );
    Ok(())
}

#[tokio::test]
async fn every_limit_that_can_be_exceeded_has_a_metric() -> Result<()> {
    let broker = Broker::start().await?;
    let metrics = broker.http().get(format!("{}/metrics", broker.base()));
    let metrics = metrics.send().await?.text().await?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let reference = fs::read_to_string(path)?;
    let section = reference.split("### `[limits]`").nth(1).context("limits")?;
    let section = section.split("\n### ").next().unwrap_or_default();
    let keys = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let keys: Vec<_> = keys.filter_map(|line| line.split('`').next()).collect();
    assert!(keys.contains(&"message_bytes"), "{keys:?}");
    let is_share = |key: &str| {
        let parts = ["_per_address", "_per_user", "_and_second"];
        parts.iter().any(|part| key.contains(part))
    };
    let keys = keys.into_iter().filter(|key| !is_share(key));
    let keys = keys.filter(|key| !REFUSE_NOTHING.contains(key));
    for key in keys.chain(["max_connections"]) {
        assert!(metrics.contains(&counter(key)), "{key}: {metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_beyond_a_limit_hears_the_setting_and_is_counted() -> Result<()> {
    let broker = narrow().await?;
    let channel = "/channels/a/messages";
    let message = post(&broker, channel, "\"0123456789\"").await?;
    assert_told(&broker, "message_bytes", &message.body, 1.0).await?;
    let request = post(&broker, "/v1/publish", " ".repeat(3001)).await?;
    assert_told(&broker, "request_bytes", &request.body, 1.0).await?;
    let of_batch = json!({ "channel": "a", "data": 1 });
    let batch = json!({ "messages": [of_batch, of_batch, of_batch] });
    let batch = post(&broker, "/v1/publish", batch).await?;
    assert_told(&broker, "messages_per_batch", &batch.body, 1.0).await?;
    let name = post(&broker, "/channels/123456789/messages", 1).await?;
    assert_told(&broker, "channel_name_bytes", &name.body, 1.0).await?;
    let three = format!("{}/v1/poll?channel=a&channel=b&channel=c", broker.base());
    let three = Answer::read(broker.http().get(three).send().await?).await?;
    assert_told(&broker, "channels_per_session", &three.body, 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_command_beyond_a_limit_hears_the_setting_and_is_counted() -> Result<()> {
    let broker = narrow().await?;
    let ask = async |commands: Value| post(&broker, "/v1/poll?session=new", commands).await;
    // Also more than any setting allows.
    for (count, commands) in [(1.0, 4), (2.0, 1025)] {
        let refused = ask(json!(vec![0; commands])).await?;
        assert!(refused.body.to_string().contains("more than 3 commands"));
        assert_told(&broker, "commands_per_frame", &refused.body, count).await?;
    }
    let listed = json!({ "type": "subscribe", "channel": "a", "presence": "long" });
    let listed = ask(listed).await?;
    assert_told(&broker, "presence_bytes", &listed.body, 1.0).await?;
    let join = |channel: &str| json!({ "type": "subscribe", "channel": channel });
    let third = ask(json!([join("a"), join("b"), join("c")])).await?;
    assert_told(&broker, "channels_per_session", &third.body, 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_websocket_message_beyond_a_limit_hears_the_setting_and_is_counted() -> Result<()> {
    let broker = narrow().await?;
    let long = [0x81];
    let fragments = [0x01, 0x00, 0x00];
    for (limit, first_bytes, text) in [
        ("message_bytes", &long[..], "01234567890"),
        ("fragments_per_message", &fragments, "x"),
    ] {
        let mut socket = Bare::connect(&broker).await?;
        socket.upgrade("/channels/a/ws").await?;
        for first in first_bytes {
            socket.send(&client_frame(*first, text.as_bytes())).await?;
        }
        let close = socket.until(b" allows no more").await?;
        let close = String::from_utf8_lossy(&close).into_owned();
        assert_told(&broker, limit, &json!(close), 1.0).await?;
    }
    let mut socket = Bare::connect(&broker).await?;
    socket.upgrade("/v1/ws").await?;
    let commands = json!([0, 0, 0, 0]).to_string();
    socket
        .send(&client_frame(0x81, commands.as_bytes()))
        .await?;
    let error = socket.until(b"(limits.commands_per_frame)").await?;
    let error = String::from_utf8_lossy(&error).into_owned();
    assert_told(&broker, "commands_per_frame", &json!(error), 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn what_all_clients_have_too_much_of_is_told_and_counted() -> Result<()> {
    let broker = narrow().await?;
    let url = format!("{}/v1/poll?session=new&timeout=0", broker.base());
    let mut refused = Value::Null;
    eventually("there is a session of polls too many", async || {
        let answer = Answer::read(broker.http().get(&url).send().await?).await?;
        refused = answer.body;
        Ok(answer.status == 503)
    })
    .await?;
    assert_told(&broker, "max_connections", &refused, 1.0).await?;

    let begin = "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2500\r\n\r\n";
    let mut held = Bare::connect(&broker).await?;
    held.send(format!("{begin}{}", " ".repeat(1400)).as_bytes())
        .await?;
    eventually("the first request is held", async || {
        let metrics = broker.metrics().await?;
        Ok(metrics.value("widecast_memory_bytes{part=\"unfinished\"}") >= 1400.0)
    })
    .await?;
    let mut largest = Bare::connect(&broker).await?;
    largest
        .send(format!("{begin}{}", " ".repeat(1800)).as_bytes())
        .await?;
    let answer = largest.until(b"\"retryable\":true}").await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_told(&broker, "unfinished_bytes", &json!(answer), 1.0).await
}
