//! JSONP: what pages may do that can load nothing but scripts, and what they may not.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use widecast_tests::address::address;
use widecast_tests::broker::Answer;
use widecast_tests::socket::Bare;
use widecast_tests::subscriber::script::argument_of;
use widecast_tests::{Broker, Join, Settings, Transport, message_pack};

/// A broker that allows JSONP for channels whose names begin with `open:` only.
async fn broker() -> Result<Broker> {
    Broker::with(Settings::new().script_access("open")).await
}

/// What the script calls the function with, be it an error.
async fn load(broker: &Broker, path: &[&str], query: &[(&str, &str)]) -> Result<Value> {
    let mut query: Vec<_> = owned(query);
    query.push(("callback".to_owned(), "app.f1".to_owned()));
    let url = address(&broker.base(), path, &query)?;
    let response = broker.http().get(url).send().await?;
    assert_eq!(response.status(), 200);
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        let header = response.headers().get(name).context(name)?;
        assert_eq!(header, value, "{name}");
    }
    let script = response.text().await?;
    argument_of(&script, "app.f1").or_else(|error| {
        let said = format!("{{\"error\":{error}}}");
        serde_json::from_str(&said).with_context(|| script)
    })
}

fn owned(query: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = query.iter();
    pairs
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

async fn get(broker: &Broker, path: &[&str], query: &[(&str, &str)]) -> Result<Answer> {
    let url = address(&broker.base(), path, &owned(query))?;
    Answer::read(broker.http().get(url).send().await?).await
}

/// Opens a session over JSONP; gives its name.
async fn open(broker: &Broker) -> Result<String> {
    let opened = load(broker, &["v1", "poll"], &[("session", "new")]).await?;
    let frames = &opened["frames"];
    assert_eq!(frames[0]["type"], "welcome", "{opened}");
    let session = opened["session"].as_str().context("a session")?;
    assert_eq!(frames[0]["session"], session);
    Ok(session.to_owned())
}

/// Gives commands by URL, then polls once; gives the frames.
async fn ask(broker: &Broker, session: &str, commands: &Value) -> Result<Vec<Value>> {
    let path = ["v1", "sessions", session, "commands"];
    let accepted = load(broker, &path, &[("commands", &commands.to_string())]).await?;
    let count = commands.as_array().map_or(1, Vec::len);
    assert_eq!(accepted, json!({ "accepted": count }));
    frames(broker, session).await
}

async fn frames(broker: &Broker, session: &str) -> Result<Vec<Value>> {
    let query = [("session", session), ("cursor", "9999"), ("timeout", "5")];
    let answer = load(broker, &["v1", "poll"], &query).await?;
    answer["frames"].as_array().cloned().context("frames")
}

#[track_caller]
fn assert_error(answer: &Value, code: &str, says: &str) {
    let error = &answer["error"];
    assert_eq!(error["code"], code, "{answer}");
    assert_eq!(error["retryable"], false, "{answer}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(says), "{says:?} is not in {message:?}");
}

#[tokio::test]
async fn errors_are_scripts_too() -> Result<()> {
    let broker = broker().await?;
    let allowed = load(&broker, &["channels", "open:news", "poll"], &[]).await?;
    assert_eq!(allowed["messages"], json!([]), "{allowed}");
    let poll = ["v1", "poll"];
    for (path, query, code, says) in [
        (
            ["channels", "news", "poll"].as_slice(),
            [("a", "b")],
            "forbidden",
            "namespace.….jsonp",
        ),
        (
            &poll,
            [("channel", "news")],
            "forbidden",
            "namespace.….jsonp",
        ),
        (&poll, [("channel", "")], "bad_channel_name", "empty"),
        (
            &["channels", "open:\0", "poll"],
            [("a", "b")],
            "bad_channel_name",
            "U+0000",
        ),
        (
            &["channels", "open:news", "poll"],
            [("cursor", "?")],
            "bad_cursor",
            "cursor",
        ),
        (
            &poll,
            [("session", "unknown")],
            "session_not_found",
            "session=new",
        ),
    ] {
        assert_error(&load(&broker, path, &query).await?, code, says);
    }
    // What is no name of a function cannot be called with an error.
    let bad = get(
        &broker,
        &poll,
        &[("session", "new"), ("callback", "alert(1)//")],
    )
    .await?;
    assert_eq!(
        (bad.status, &bad.body["code"]),
        (400, &json!("invalid_request"))
    );
    Ok(())
}

#[tokio::test]
async fn there_are_no_sessions_where_no_namespace_allows_them() -> Result<()> {
    // The demos have a namespace of their own.
    let settings = Settings::new().key("server.demos", "false");
    let broker = Broker::with(settings).await?;
    let refused = load(&broker, &["v1", "poll"], &[("session", "new")]).await?;
    assert_error(&refused, "forbidden", "namespace.….jsonp");
    Ok(())
}

#[tokio::test]
async fn a_session_of_scripts_may_use_the_channels_of_namespaces_that_allow_it_and_no_others()
-> Result<()> {
    let broker = broker().await?;
    broker.publisher().publish("closed", "secret").await?;
    let session = open(&broker).await?;
    let commands = |channel: &str| {
        json!([
            { "type": "subscribe", "id": 1, "channel": channel, "presence": true, "history": 1 },
            { "type": "publish", "id": 2, "channel": channel, "data": 1 },
            { "type": "history", "id": 3, "channel": channel },
            { "type": "presence", "id": 4, "channel": channel },
        ])
    };
    let refused = ask(&broker, &session, &commands("closed")).await?;
    assert_eq!(refused.len(), 4, "{refused:?}");
    for (frame, id) in refused.iter().zip(1..) {
        assert_eq!(
            (&frame["id"], &frame["code"]),
            (&json!(id), &json!("forbidden")),
            "{frame}"
        );
        let message = frame["message"].as_str().context("a message")?;
        assert!(message.contains("namespace.….jsonp"), "{message}");
    }
    let batch = json!({ "type": "batch", "id": 5, "messages": [
        { "channel": "closed", "data": 1 },
        { "channel": "open:a", "data": 2 },
    ] });
    let results = ask(&broker, &session, &batch).await?[0]["results"].clone();
    assert_eq!(
        (&results[0]["code"], &results[1]["offset"]),
        (&json!("forbidden"), &json!(1)),
        "{results}"
    );

    let answers = ask(&broker, &session, &commands("open:a")).await?;
    let types: Vec<_> = answers.iter().map(|frame| frame["type"].clone()).collect();
    let expected = ["subscribed", "published", "history", "presence"];
    assert_eq!(types, expected, "{answers:?}");
    assert_eq!(broker.subscribers("closed").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back_where_headers_would() -> Result<()> {
    let settings = Settings::new().script_access("open").connections(1);
    let broker = Broker::with(settings).await?;
    open(&broker).await?;
    let refused = load(&broker, &["v1", "poll"], &[("session", "new")]).await?;
    let error = &refused["error"];
    assert_eq!(error["code"], "too_many_connections", "{refused}");
    assert_eq!(error["retryable"], true, "{refused}");
    assert_eq!(error["retry_after_ms"], 1000, "{refused}");
    Ok(())
}

#[tokio::test]
async fn scripts_cannot_use_a_session_that_was_not_opened_by_one() -> Result<()> {
    let broker = broker().await?;
    let polled = get(&broker, &["v1", "poll"], &[("session", "new")]).await?;
    let polled = polled.body["session"]
        .as_str()
        .context("a session")?
        .to_owned();
    let mut streamed = broker
        .join(Transport::EnvelopeSse, &Join::channel("closed"))
        .await?;
    let streaming = streamed.envelope()?.welcome()["session"].clone();
    let streaming = streaming.as_str().context("a session")?;
    let subscribe = json!({ "type": "subscribe", "channel": "open:a" }).to_string();
    for session in [polled.as_str(), streaming] {
        let read = load(&broker, &["v1", "poll"], &[("session", session)]).await?;
        assert_error(&read, "forbidden", "callback=");
        let path = ["v1", "sessions", session, "commands"];
        let sent = load(&broker, &path, &[("commands", &subscribe)]).await?;
        assert_error(&sent, "forbidden", "callback=");
    }
    assert_eq!(broker.subscribers("open:a").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_session_that_was_opened_by_a_script_is_for_scripts_alone() -> Result<()> {
    let broker = broker().await?;
    let session = open(&broker).await?;
    let poll = get(&broker, &["v1", "poll"], &[("session", &session)]).await?;
    let commands = format!("/v1/sessions/{session}/commands");
    let command = br#"{"type":"publish","channel":"open:a","data":1}"#.to_vec();
    let json = "application/json";
    let post = broker.post(&commands, json, command.clone()).await?;
    let both = format!("/v1/poll?session={session}");
    let both = broker.post(&both, json, command).await?;
    for refused in [poll, post, both] {
        assert_eq!(refused.status, 403, "{refused:?}");
        assert_eq!(refused.body["code"], "forbidden", "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn commands_by_get_are_for_scripts_only() -> Result<()> {
    let broker = broker().await?;
    let session = open(&broker).await?;
    let path = ["v1", "sessions", &session, "commands"];
    let publish = json!({ "type": "publish", "channel": "open:a", "data": 1 }).to_string();
    let refused = get(&broker, &path, &[("commands", &publish)]).await?;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (400, &json!("invalid_request"))
    );
    assert_error(
        &load(&broker, &path, &[]).await?,
        "invalid_request",
        "commands=",
    );
    assert_error(
        &load(&broker, &path, &[("commands", "[")]).await?,
        "bad_json",
        "",
    );
    assert_error(
        &load(&broker, &path, &[("msgpack", "+/")]).await?,
        "bad_msgpack",
        "base64url",
    );
    let unknown = ["v1", "sessions", "unknown", "commands"];
    assert_error(
        &load(&broker, &unknown, &[("commands", "[]")]).await?,
        "session_not_found",
        "",
    );
    Ok(())
}

#[tokio::test]
async fn commands_may_come_as_message_pack() -> Result<()> {
    let broker = broker().await?;
    let session = open(&broker).await?;
    let commands = json!([
        { "type": "subscribe", "id": 1, "channel": "open:a" },
        { "type": "publish", "id": 2, "channel": "open:b", "data": { "text": "ä>?" } },
    ]);
    let packed = URL_SAFE_NO_PAD.encode(message_pack::encode(&commands)?);
    let path = ["v1", "sessions", &session, "commands"];
    let accepted = load(&broker, &path, &[("msgpack", &packed)]).await?;
    assert_eq!(accepted["accepted"], 2, "{accepted}");
    let answers = frames(&broker, &session).await?;
    let types: Vec<_> = answers.iter().map(|frame| frame["type"].clone()).collect();
    assert_eq!(types, ["subscribed", "published"], "{answers:?}");
    let page = broker.get(&["channels", "open:b", "messages"], &[]).await?;
    assert_eq!(page["messages"][0]["data"]["text"], "ä>?");
    assert_eq!(
        page["messages"][0]["origin"], "",
        "whose page it was is not known"
    );
    Ok(())
}

#[tokio::test]
async fn a_url_with_too_many_commands_is_refused_with_the_limit() -> Result<()> {
    let broker = broker().await?;
    let session = open(&broker).await?;
    let path = ["v1", "sessions", &session, "commands"];
    let publish = |bytes: usize| {
        json!({ "type": "publish", "channel": "open:a", "data": "x".repeat(bytes) }).to_string()
    };
    let large = load(&broker, &path, &[("commands", &publish(30_000))]).await?;
    assert_eq!(large["accepted"], 1, "{large}");
    let refused = load(&broker, &path, &[("commands", &publish(33_000))]).await?;
    assert_error(&refused, "message_too_large", "32768");
    // What reads HTTP takes URLs of less than 64 KiB.
    let mut bare = Bare::connect(&broker).await?;
    let endless = "x".repeat(65_536);
    let head = format!("GET /v1/poll?callback={endless} HTTP/1.1\r\nHost: a\r\n\r\n");
    bare.send(head.as_bytes()).await?;
    let said = bare.until(b"\r\n\r\n").await?;
    assert!(said.starts_with(b"HTTP/1.1 414"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_message_whose_key_is_a_prototype_breaks_no_script() -> Result<()> {
    let broker = broker().await?;
    let mut subscriber = broker
        .join(Transport::EnvelopeJsonp, &Join::channel("open:a"))
        .await?;
    let body = "{\"__proto__\":1,\"\\u005f_proto__\":\"\u{2028}\\\"\"}"
        .as_bytes()
        .to_vec();
    let answer = broker
        .post("/channels/open:a/messages", "application/json", body)
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        subscriber.message().await?.data,
        json!({ "__proto__": "\u{2028}\"" })
    );
    Ok(())
}
