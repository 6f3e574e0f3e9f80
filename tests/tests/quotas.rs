//! Quotas: how much one session, user, API key or channel may publish in a second, how many commands a session may send, and how many
//! sessions, members and idempotency keys a user may have.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use widecast_tests::broker::Answer;
use widecast_tests::guarded::{SECRET, key as api_key};
use widecast_tests::socket::Bare;
use widecast_tests::subscriber::envelope::Envelope;
use widecast_tests::{Broker, Join, Settings, Transport, cli, eventually};

/// A broker with these limits that takes tokens and an API key.
struct Limited {
    broker: Broker,
    key: String,
    secret: String,
    _directory: TempDir,
}

impl Limited {
    async fn start(limits: &[(&str, u64)]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("jwt.key");
        std::fs::write(&secret, SECRET)?;
        let secret = secret.to_str().context("a path of text")?.to_owned();
        let (key, hash) = api_key("backend").await?;
        let keys = format!(
            "[{{ name = \"backend\", hash = \"{hash}\", operator = true, allow = {{ \"*\" = [\"*\"] }} }}]"
        );
        let mut settings = Settings::new()
            .key("auth.jwt.hmac_secret_file", format!("{secret:?}"))
            .key("auth.api_key", keys)
            .key("namespace.default.anonymous", "[\"*\"]");
        for (name, value) in limits {
            settings = settings.key(&format!("limits.{name}"), value.to_string());
        }
        Ok(Self {
            broker: Broker::with(settings).await?,
            key,
            secret,
            _directory: directory,
        })
    }

    async fn token(&self, user: &str) -> Result<String> {
        let made = cli::run(&["token", "--secret-file", &self.secret, "--sub", user]).await?;
        Ok(made.output.trim().to_owned())
    }

    /// Publishes until it is refused, and gives that answer with the header `Retry-After`.
    async fn publish_too_much(&self, channel: &str, who: Option<&str>) -> Result<(Answer, String)> {
        for _ in 0..1000 {
            let url = format!("{}/channels/{channel}/messages", self.broker.base());
            let mut request = self.broker.http().post(url).body("0123456789");
            if let Some(who) = who {
                request = request.bearer_auth(who);
            }
            let answer = request.send().await?;
            let after = answer.headers().get("retry-after");
            let after = after.and_then(|after| after.to_str().ok());
            let after = after.unwrap_or_default().to_owned();
            let answer = Answer::read(answer).await?;
            if answer.status != 200 {
                return Ok((answer, after));
            }
        }
        anyhow::bail!("all of it was published")
    }

    async fn published(&self, channel: &str, who: Option<&str>) -> Result<u16> {
        let url = format!("{}/channels/{channel}/messages", self.broker.base());
        let mut request = self.broker.http().post(url).body("0123456789");
        if let Some(who) = who {
            request = request.bearer_auth(who);
        }
        Ok(request.send().await?.status().as_u16())
    }
}

fn assert_exceeded(answer: &Answer, setting: &str) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.body["code"], "share_exceeded", "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(setting), "{answer:?}");
}

#[tokio::test]
async fn a_user_an_api_key_and_a_channel_have_a_quota_of_their_own() -> Result<()> {
    // So little that no machine is slow enough to publish it in time.
    let limited = Limited::start(&[
        ("publications_per_user_and_second", 1),
        ("publication_bytes_per_api_key_and_second", 5),
    ])
    .await?;
    let (one, other) = (limited.token("7").await?, limited.token("8").await?);
    let (refused, after) = limited.publish_too_much("a", Some(&one)).await?;
    assert_exceeded(&refused, "limits.publications_per_user_and_second ");
    assert_eq!(after, "1");
    assert_eq!(limited.published("a", Some(&other)).await?, 200);
    assert_eq!(limited.published("a", None).await?, 200);
    let (refused, after) = limited.publish_too_much("a", Some(&limited.key)).await?;
    assert_exceeded(&refused, "limits.publication_bytes_per_api_key_and_second ");
    assert!(after.parse::<u32>()? >= 1, "{after}");
    let metrics = limited
        .broker
        .http()
        .get(format!("{}/metrics", limited.broker.base()));
    let metrics = metrics
        .bearer_auth(&limited.key)
        .send()
        .await?
        .text()
        .await?;
    for limit in ["user_publications", "api_key_bytes"] {
        let counted = format!("widecast_share_refusals_total{{limit=\"{limit}\"}} 1\n");
        assert!(metrics.contains(&counted), "{metrics}");
    }
    eventually("a second has passed", async || {
        Ok(limited.published("a", Some(&one)).await? == 200)
    })
    .await?;

    let limited = Limited::start(&[("publications_per_channel_and_second", 1)]).await?;
    let (refused, _) = limited.publish_too_much("a", None).await?;
    assert_exceeded(&refused, "limits.publications_per_channel_and_second ");
    assert_eq!(limited.published("b", Some(&limited.key)).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_session_is_told_when_it_may_publish_again() -> Result<()> {
    let limited = Limited::start(&[("publications_per_session_and_second", 1)]).await?;
    let messages: Vec<Value> = (0..100)
        .map(|number| json!({ "channel": "a", "data": number }))
        .collect();
    let batch = json!({ "type": "batch", "messages": messages });
    for transport in [Transport::JsonWebSocket, Transport::MessagePackStream] {
        let mut session = limited.broker.join(transport, &Join::channels(&[])).await?;
        let reply = session.envelope()?.command(batch.clone()).await?;
        let results = reply["results"].as_array().context("results")?;
        assert_eq!(results[0]["type"], "published", "{transport:?} {reply}");
        let refused = results.iter().find(|result| result["type"] == "error");
        let refused = refused.with_context(|| format!("{transport:?} {reply}"))?;
        assert_eq!(refused["code"], "share_exceeded", "{refused}");
        let after = refused["retry_after_ms"].as_u64().context("a time")?;
        assert!((1..=1000).contains(&after), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_has_so_many_sessions_whatever_they_are() -> Result<()> {
    let limited = Limited::start(&[("sessions_per_user", 1)]).await?;
    let (one, other) = (limited.token("7").await?, limited.token("8").await?);
    let join = |token: &str| Join::channels(&["a"]).token(token);
    let mut first = limited
        .broker
        .join(Transport::JsonWebSocket, &join(&one))
        .await?;
    for transport in [
        Transport::JsonWebSocket,
        Transport::RawSse,
        Transport::EnvelopePoll,
    ] {
        let refused = limited.broker.join(transport, &join(&one)).await;
        assert!(refused.is_err(), "{transport:?} let in");
    }
    let mut second = limited
        .broker
        .join(Transport::JsonWebSocket, &join(&other))
        .await?;
    let authenticate = |token: &str| json!({ "type": "authenticate", "token": token });
    // It keeps its place with a new token, and finds none with another's.
    let reply = first.envelope()?.command(authenticate(&one)).await?;
    assert_eq!(reply["type"], "authenticated", "{reply}");
    let reply = second.envelope()?.command(authenticate(&one)).await?;
    assert_eq!(reply["code"], "share_exceeded", "{reply}");
    drop(first);
    eventually("there is room again", async || {
        let reply = second.envelope()?.command(authenticate(&one)).await?;
        Ok(reply["type"] == "authenticated")
    })
    .await?;
    // And the other user has one again.
    limited
        .broker
        .join(Transport::RawSse, &join(&other))
        .await?;
    Ok(())
}

/// Sends commands until one is refused, and gives that answer.
async fn send_too_much(session: &mut Envelope, command: &Value) -> Result<Value> {
    for _ in 0..1000 {
        let reply = session.command(command.clone()).await?;
        if reply["type"] == "error" {
            return Ok(reply);
        }
    }
    anyhow::bail!("all of it was carried out")
}

fn assert_told_when(refused: &Value, setting: &str) {
    assert_eq!(refused["code"], "share_exceeded", "{refused}");
    assert_eq!(refused["retryable"], true, "{refused}");
    let after = refused["retry_after_ms"].as_u64().unwrap_or_default();
    assert!(after > 0, "{refused}");
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains(setting), "{refused}");
}

/// So few commands that no machine is slow enough to send them in time.
fn few_commands() -> Settings {
    Settings::new()
        .channels_per_session(1)
        .key("limits.commands_per_session_and_second", "2")
        .key("namespace.default.jsonp", "true")
}

#[tokio::test]
async fn a_session_is_told_when_it_may_send_commands_again() -> Result<()> {
    let broker = Broker::with(few_commands()).await?;
    let history = json!({ "type": "history", "channel": "a" });
    let transports = [
        Transport::JsonWebSocket,
        Transport::MessagePackWebSocket,
        Transport::EnvelopeSse,
        Transport::JsonStream,
        Transport::EnvelopePoll,
        Transport::EnvelopeJsonp,
    ];
    for transport in transports {
        let mut session = broker.join(transport, &Join::channels(&["a"])).await?;
        let session = session.envelope()?;
        let refused = send_too_much(session, &history).await?;
        assert_told_when(&refused, "limits.commands_per_session_and_second ");
        // What costs nothing is never refused.
        for (command, reply) in [
            (json!({ "type": "ping" }), "pong"),
            (
                json!({ "type": "unsubscribe", "channel": "a" }),
                "unsubscribed",
            ),
        ] {
            let answer = session.command(command).await?;
            assert_eq!(answer["type"], reply, "{transport:?} {answer}");
        }
        // Another session has an allowance of its own.
        let mut other = broker.join(transport, &Join::channels(&["a"])).await?;
        other.envelope()?.publish("a", json!(1)).await?;
        eventually("it may go on", async || {
            let reply = session.command(history.clone()).await?;
            Ok(reply["type"] == "history")
        })
        .await?;
    }
    let parts = [
        "widecast_share_refusals_total",
        "limit=\"session_commands\"",
    ];
    assert!(broker.metrics().await?.sum(&parts) >= 6.0);
    Ok(())
}

#[tokio::test]
async fn a_raw_websocket_that_publishes_too_fast_is_closed_with_the_reason() -> Result<()> {
    let broker = Broker::with(few_commands()).await?;
    let mut page = broker
        .join(Transport::RawWebSocket, &Join::channel("a"))
        .await?;
    for _ in 0..100 {
        // It may be closed before all of them are sent.
        if page.publish("a", "text").await.is_err() {
            break;
        }
    }
    assert_eq!(page.closed().await?, Some(1013));
    Ok(())
}

#[tokio::test]
async fn commands_that_wait_for_their_session_are_bounded() -> Result<()> {
    const MESSAGE_BYTES: usize = 250_000;
    let settings = Settings::new()
        .message_bytes(MESSAGE_BYTES)
        .key("limits.request_bytes", MESSAGE_BYTES.to_string())
        .key("outbox.bytes", "1024")
        .key("outbox.send_buffer_bytes", "4096");
    let broker = Broker::with(settings).await?;
    let publisher = broker.publisher();
    for _ in 0..4 {
        let text = "x".repeat(MESSAGE_BYTES - 2);
        publisher.publish("a", text).await?;
    }
    let mut stream = Bare::connect_narrow(&broker).await?;
    stream.get("/v1/sse?session=new", "").await?;
    stream.until(b"\"session\":\"").await?;
    let session = String::from_utf8(stream.until(b"\"").await?)?;
    let session = session.trim_end_matches('"');
    // Its answer is more than the kernel takes, so that whatever comes behind waits.
    let history = json!({ "type": "history", "channel": "a" });
    let (url, http) = (
        format!("{}/v1/sessions/{session}/commands", broker.base()),
        broker.http().clone(),
    );
    let post = |commands: Value| {
        let request = http.post(&url).json(&commands);
        async move {
            let answer = request.send().await?;
            let after = answer.headers().get("retry-after").cloned();
            anyhow::Ok((Answer::read(answer).await?, after))
        }
    };
    assert_eq!(post(history.clone()).await?.0.status, 202);
    let pings = vec![json!({ "type": "ping" }); 200];
    let mut posts = JoinSet::new();
    posts.spawn(post(history));
    for _ in 0..16 {
        posts.spawn(post(pings.clone().into()));
    }
    // One or two are taken at once, the first that follow wait, and the others are refused.
    let mut refused = None;
    while refused.is_none() {
        let (answer, after) = posts.join_next().await.context("none was refused")???;
        if answer.status != 202 {
            refused = Some((answer, after));
        }
    }
    let (answer, after) = refused.context("a refusal")?;
    assert_exceeded(&answer, "limits.request_bytes ");
    assert_eq!(after.context("a time")?, "1");
    // Once its client listens, it is as before.
    let listening = tokio::spawn(async move {
        let _ = stream.to_end().await;
    });
    while let Some(answered) = posts.join_next().await {
        answered??;
    }
    eventually("nothing waits", async || {
        Ok(post(json!({ "type": "ping" })).await?.0.status == 202)
    })
    .await?;
    listening.abort();
    Ok(())
}

#[tokio::test]
async fn a_user_is_listed_as_so_many_members() -> Result<()> {
    let limited = Limited::start(&[("members_per_user", 2)]).await?;
    let (one, other) = (limited.token("7").await?, limited.token("8").await?);
    let open = async |token: &str| {
        let join = Join::channels(&[]).token(token);
        limited.broker.join(Transport::JsonWebSocket, &join).await
    };
    let (mut first, mut second, mut stranger) =
        (open(&one).await?, open(&one).await?, open(&other).await?);
    let subscribe = |channel: &str| json!({ "type": "subscribe", "channel": channel, "presence": { "name": "Ann" } });
    for channel in ["a", "b"] {
        let reply = first.envelope()?.command(subscribe(channel)).await?;
        assert_eq!(reply["type"], "subscribed", "{reply}");
    }
    // To change what it says of itself takes no other place.
    let changed = json!({ "type": "subscribe", "channel": "b", "presence": { "name": "Bob" } });
    let reply = first.envelope()?.command(changed).await?;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    let refused = second.envelope()?.command(subscribe("a")).await?;
    assert_told_when(&refused, "limits.members_per_user ");
    let reply = second
        .envelope()?
        .command(json!({ "type": "subscribe", "channel": "a" }))
        .await?;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    let reply = stranger.envelope()?.command(subscribe("a")).await?;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    drop(first);
    eventually("they are shown no longer", async || {
        let reply = second.envelope()?.command(subscribe("b")).await?;
        Ok(reply["type"] == "subscribed")
    })
    .await
}

#[tokio::test]
async fn a_user_may_use_so_many_idempotency_keys() -> Result<()> {
    let limited = Limited::start(&[("idempotency_keys_per_user", 2)]).await?;
    let (one, other) = (limited.token("7").await?, limited.token("8").await?);
    let publish = async |who: &str, key: Option<&str>| {
        let url = format!("{}/channels/a/messages", limited.broker.base());
        let mut request = limited.broker.http().post(url).body("1").bearer_auth(who);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Answer::read(request.send().await?).await
    };
    for key in ["a", "b"] {
        assert_eq!(publish(&one, Some(key)).await?.status, 200);
    }
    let refused = publish(&one, Some("c")).await?;
    assert_exceeded(&refused, "limits.idempotency_keys_per_user ");
    assert_eq!(publish(&one, None).await?.status, 200);
    assert_eq!(publish(&other, Some("c")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_user_is_charged_also_where_the_token_is_shown_for_a_channel_alone() -> Result<()> {
    let limits = [
        ("publications_per_user_and_second", 1),
        ("members_per_user", 1),
    ];
    let limited = Limited::start(&limits).await?;
    let secret = &limited.secret;
    let arguments = ["token", "--secret-file", secret, "--sub", "7"];
    let allowed = ["--allow", "a=*"];
    let token = cli::run(&[&arguments[..], &allowed].concat()).await?.output;
    let token = token.trim();
    let (mut published, mut listed) = (0, 0);
    // More than a second grants, however slow the machine is: the first refusal ends it.
    for _ in 0..1000 {
        let join = Join::channels(&[]);
        let mut session = limited.broker.join(Transport::JsonWebSocket, &join).await?;
        let session = session.envelope()?;
        let subscribe =
            json!({ "type": "subscribe", "channel": "a", "token": token, "presence": 1 });
        let reply = session.command(subscribe).await?;
        if reply["type"] != "subscribed" {
            assert_told_when(&reply, "limits.members_per_user ");
            listed += 1;
        }
        let subscribe = json!({ "type": "subscribe", "channel": "a", "token": token });
        session.command(subscribe).await?;
        for _ in 0..10 {
            let publish = json!({ "type": "publish", "channel": "a", "data": 1 });
            let reply = session.command(publish).await?;
            if reply["type"] != "published" {
                assert_told_when(&reply, "limits.publications_per_user_and_second ");
                published += 1;
            }
        }
        if published > 0 && listed > 0 {
            return Ok(());
        }
    }
    anyhow::bail!("refused: {published} publications, {listed} members")
}
