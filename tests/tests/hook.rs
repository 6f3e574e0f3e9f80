//! The authorisation hook: a backend that is asked before somebody connects, joins, reads or publishes, on every transport.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use widecast_protocol::Code;
use widecast_tests::backend::{Asked, Backend, Gate, Reply};
use widecast_tests::broker::Answer;
use widecast_tests::{Broker, Heard, Join, Settings, Transport, cli, eventually};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A broker that asks a backend, in which everybody may do everything unless the backend refuses.
struct Asking {
    broker: Broker,
    backend: Backend,
    directory: TempDir,
}

impl Asking {
    /// With settings of its own, written as a table: `event = …`.
    async fn start(
        settings: &[(&str, &str)],
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("hook.key");
        std::fs::write(&secret, SECRET)?;
        let secret = secret.to_str().context("a path of text")?;
        let backend = Backend::start(answer).await?;
        let mut all = Settings::new()
            .key("auth.hook.url", format!("{:?}", backend.url("/hook")))
            .key("auth.hook.secret_file", format!("{secret:?}"))
            .key("namespace.default.anonymous", "[\"*\"]")
            .key("namespace.default.jsonp", "true");
        for (name, value) in settings {
            all = all.key(name, *value);
        }
        Ok(Self {
            broker: Broker::with(all).await?,
            backend,
            directory,
        })
    }

    fn secret(&self) -> PathBuf {
        self.directory.path().join("hook.key")
    }

    async fn publish(&self, channel: &str, body: &str) -> Result<Answer> {
        let path = format!("/channels/{channel}/messages");
        self.broker
            .post(&path, "application/json", body.as_bytes().to_vec())
            .await
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        let url = format!("{}{path}", self.broker.base());
        Answer::read(self.broker.http().request(Method::GET, url).send().await?).await
    }

    /// What it was asked about this event.
    fn asked(&self, event: &str) -> Vec<Value> {
        let asked = self.backend.asked();
        let asked = asked.iter().map(Asked::json);
        asked.filter(|asked| asked["event"] == event).collect()
    }
}

/// The key of an operator, and the setting that knows it.
async fn operator() -> Result<(String, String)> {
    let output = cli::run(&["key", "backend"]).await?.output;
    let mut words = output.split_whitespace().map(|word| word.trim_matches('"'));
    let key = words
        .find(|word| word.starts_with("wck_"))
        .context("a key")?;
    let hash = words
        .skip_while(|word| *word != "hash")
        .nth(2)
        .context("a hash")?;
    let keys = format!(
        "[{{ name = \"backend\", hash = \"{hash}\", operator = true, allow = {{ \"*\" = [\"*\"] }} }}]"
    );
    Ok((key.to_owned(), keys))
}

fn allow() -> Reply {
    Reply::body(json!({ "allow": true }))
}

fn refuse(reason: &str) -> Reply {
    Reply::body(json!({ "allow": false, "reason": reason }))
}

/// Refuses one event on one channel, or on any where there is none.
fn refusing(event: &'static str, channel: &'static str) -> impl Fn(&Asked) -> Reply + Send + Sync {
    move |asked| {
        let asked = asked.json();
        let is_meant =
            asked["event"] == event && asked["channel"].as_str().unwrap_or("") == channel;
        if is_meant {
            refuse("not for you")
        } else {
            allow()
        }
    }
}

#[tokio::test]
async fn on_every_transport_the_hook_is_asked_who_connects_and_who_joins() -> Result<()> {
    let asking = Asking::start(&[], refusing("subscribe", "secret")).await?;
    for transport in Transport::ALL {
        let joined = asking.broker.join(transport, &Join::channel("open")).await;
        joined.with_context(|| format!("{transport:?}"))?;
        let refused = asking
            .broker
            .join(transport, &Join::channel("secret"))
            .await;
        let refusal = refused
            .err()
            .with_context(|| format!("{transport:?} let in"))?;
        let refusal = format!("{refusal:?}");
        let is_told = refusal.contains("forbidden") || refusal.contains("403");
        assert!(is_told, "{transport:?}: {refusal}");
    }
    asking.backend.answers(refusing("connect", ""));
    for transport in Transport::ALL {
        let refused = asking.broker.join(transport, &Join::channel("open")).await;
        assert!(refused.is_err(), "{transport:?} let in");
    }
    let refused = asking.get("/channels/open/poll").await?;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.body["detail"], "not for you", "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn no_door_of_a_channel_opens_that_the_hook_keeps_shut() -> Result<()> {
    let asking = Asking::start(&[], refusing("subscribe", "secret")).await?;
    for path in [
        "/channels/secret",
        "/channels/secret/messages",
        "/channels/secret/messages/1",
        "/channels/secret/presence",
        "/channels/secret/sse",
        "/channels/secret/stream",
        "/channels/secret/poll",
        "/channels/secret/poll?timeout=1",
        "/v1/sse?channel=secret",
        "/v1/poll?channel=secret",
    ] {
        let answer = asking.get(path).await?;
        assert_eq!(answer.status, 403, "{path} {answer:?}");
        assert_eq!(answer.body["detail"], "not for you", "{path} {answer:?}");
    }
    for transport in Transport::ALL.into_iter().filter(|it| it.is_envelope()) {
        let mut session = asking
            .broker
            .join(transport, &Join::channel("open"))
            .await?;
        let session = session.envelope()?;
        for command in ["subscribe", "presence", "history"] {
            let reply = session
                .command(json!({ "type": command, "channel": "secret" }))
                .await?;
            assert_eq!(
                reply["code"], "forbidden",
                "{transport:?} {command} {reply}"
            );
            assert_eq!(
                reply["message"], "not for you",
                "{transport:?} {command} {reply}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_refused_rewritten_or_published_as_it_is() -> Result<()> {
    let answer = |asked: &Asked| {
        let asked = asked.json();
        match asked["message"]["data"].as_str() {
            Some("rude") => refuse("mind your words"),
            Some("shout") => Reply::body(json!({ "allow": true, "data": { "said": "softly" } })),
            Some("much") => Reply::body(json!({ "allow": true, "data": "x".repeat(2000) })),
            _ => allow(),
        }
    };
    let asking = Asking::start(&[("limits.message_bytes", "1000")], answer).await?;
    let refused = asking.publish("news", "\"rude\"").await?;
    assert_eq!(refused.body["detail"], "mind your words", "{refused:?}");
    let refused = asking.publish("news", "\"much\"").await?;
    assert_eq!(refused.body["code"], "message_too_large", "{refused:?}");
    assert_eq!(asking.publish("news", "\"shout\"").await?.status, 200);
    assert_eq!(asking.publish("news", "[1]").await?.status, 200);
    let mut session = asking
        .broker
        .join(Transport::JsonWebSocket, &Join::channels(&[]))
        .await?;
    let batch = json!({"type": "batch", "id": 1, "messages": [
        {"channel": "news", "data": "rude"}, {"channel": "news", "data": "shout", "event": "said"},
    ]});
    let reply = session.envelope()?.command(batch).await?;
    assert_eq!(reply["results"][0]["code"], "forbidden", "{reply}");
    let page = asking.get("/channels/news/messages").await?;
    let data: Vec<&Value> = page.body["messages"]
        .as_array()
        .context("messages")?
        .iter()
        .map(|message| &message["data"])
        .collect();
    let softly = json!({ "said": "softly" });
    assert_eq!(data, [&softly, &json!([1]), &softly]);
    let asked = asking.asked("publish");
    let in_session = asked.last().context("asked")?;
    assert_eq!(in_session["message"]["event"], "said", "{in_session}");
    assert!(in_session["session"].is_string(), "{in_session}");
    assert_eq!(in_session["address"], "127.0.0.1", "{in_session}");
    Ok(())
}

#[tokio::test]
async fn the_hook_knows_users_by_their_cookie_and_says_what_they_may() -> Result<()> {
    let answer = |asked: &Asked| {
        let asked = asked.json();
        match (asked["event"].as_str(), asked["headers"]["cookie"].as_str()) {
            (Some("connect"), Some("login=7")) => Reply::body(json!({
                "allow": true, "user": "7", "channels": { "room:{sub}": "*", "room:all": "subscribe" },
            })),
            (Some("connect"), _) => {
                Reply::body(json!({ "allow": false, "code": "unauthorized", "reason": "log in" }))
            }
            _ => allow(),
        }
    };
    let settings = [
        ("auth.hook.headers", "[\"cookie\"]"),
        ("server.allowed_origins", "[\"https://a.example\"]"),
        ("namespace.default.anonymous", "[]"),
        ("namespace.default.user", "[\"*\"]"),
    ];
    let asking = Asking::start(&settings, answer).await?;
    let post = async |channel: &str, origin: &str| {
        let url = format!("{}/channels/{channel}/messages", asking.broker.base());
        let request = asking.broker.http().post(url).body("x");
        let request = request.header("cookie", "login=7").header("origin", origin);
        Answer::read(request.send().await?).await
    };
    let trusted = "https://a.example";
    assert_eq!(post("room:7", trusted).await?.status, 200);
    let asked = asking.asked("publish");
    let asked = asked.last().context("asked")?;
    assert_eq!(asked["user"], "7", "{asked}");
    assert_eq!(asked["origin"], trusted, "{asked}");
    for narrower in ["room:all", "room:8"] {
        let refused = post(narrower, trusted).await?;
        assert_eq!(refused.body["code"], "forbidden", "{refused:?}");
    }
    // Neither a request without a page, nor one of somebody else's page, shows a cookie to anybody.
    let url = format!("{}/channels/room:7/messages", asking.broker.base());
    let request = asking.broker.http().post(url).header("cookie", "login=7");
    let refused = Answer::read(request.body("x").send().await?).await?;
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_eq!(refused.body["detail"], "log in", "{refused:?}");
    let foreign = post("room:7", "https://evil.example").await?;
    assert_eq!(foreign.body["code"], "origin_not_allowed", "{foreign:?}");
    Ok(())
}

#[tokio::test]
async fn a_hook_without_a_usable_answer_refuses_or_allows_as_it_is_set() -> Result<()> {
    let failures: [fn() -> Reply; 5] = [
        || Reply::status(500),
        || Reply::status(404),
        || Reply::body("<html>"),
        || Reply::body("{\"alow\":true}"),
        || allow().after(Duration::from_mins(1)),
    ];
    let asking = Asking::start(&[("auth.hook.timeout_ms", "300")], |_| allow()).await?;
    for failure in failures {
        asking.backend.answers(move |_| failure());
        let refused = asking.publish("news", "1").await?;
        let code = Code::AuthorizationUnavailable;
        assert_eq!(refused.body["code"], code.as_str(), "{refused:?}");
        assert_eq!(refused.status, code.http_status(), "{refused:?}");
        assert_eq!(refused.retry_after, Some(1), "{refused:?}");
        for transport in [
            Transport::RawSse,
            Transport::JsonWebSocket,
            Transport::LongPoll,
        ] {
            let refused = asking.broker.join(transport, &Join::channel("news")).await;
            assert!(refused.is_err(), "{transport:?}");
        }
    }
    asking.backend.answers(|_| allow());
    assert_eq!(asking.publish("news", "1").await?.status, 200);
    eventually("the log is told that it answers again", async || {
        Ok(asking.broker.log().contains("answers again"))
    })
    .await?;
    let told = asking
        .broker
        .log()
        .matches("the authorisation hook fails")
        .count();
    assert_eq!(told, 1, "{}", asking.broker.log());

    let settings = [("auth.hook.on_failure", "\"allow\"")];
    let asking = Asking::start(&settings, |_| Reply::status(500)).await?;
    assert_eq!(asking.publish("news", "1").await?.status, 200);
    asking
        .broker
        .join(Transport::RawSse, &Join::channel("news"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_the_hook_refuses_does_not_use_up_the_quota_of_the_channel() -> Result<()> {
    let settings = [("limits.publications_per_channel_and_second", "1")];
    let asking = Asking::start(&settings, refusing("publish", "news")).await?;
    for _ in 0..5 {
        let refused = asking.publish("news", "1").await?;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    asking.backend.answers(|_| allow());
    let published = asking.publish("news", "1").await?;
    assert_eq!(published.status, 200, "{published:?}");
    Ok(())
}

#[tokio::test]
async fn no_more_is_asked_at_a_time_than_the_settings_say() -> Result<()> {
    let settings = [
        ("auth.hook.concurrent_requests", "2"),
        ("auth.hook.timeout_ms", "60_000"),
        ("auth.hook.events", "[\"publish\"]"),
    ];
    let slow = |_: &Asked| allow().after(Duration::from_mins(1));
    let asking = Asking::start(&settings, slow).await?;
    let url = format!("{}/channels/news/messages", asking.broker.base());
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(asking.broker.http().post(&url).body("x").send()))
        .collect();
    eventually("both are asked", async || {
        Ok(asking.asked("publish").len() == 2)
    })
    .await?;
    let answer = asking.broker.http().post(&url).body("x").send().await?;
    let refused = Answer::read(answer).await?;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.retry_after, Some(1), "{refused:?}");
    let detail = refused.body["detail"].as_str().context("a text")?;
    assert!(detail.contains("auth.hook.concurrent_requests"), "{detail}");
    // Whoever goes makes room for the next.
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    asking.backend.answers(|_| allow());
    eventually("there is room again", async || {
        Ok(asking.publish("news", "1").await?.status == 200)
    })
    .await
}

#[tokio::test]
async fn the_channels_of_a_request_are_asked_about_at_once_as_far_as_there_is_room() -> Result<()> {
    const CHANNELS: usize = 12;
    let names: Vec<_> = (0..CHANNELS).map(|number| format!("c{number}")).collect();
    let channels: Vec<_> = names.iter().map(String::as_str).collect();
    let batch: Vec<_> = channels
        .iter()
        .map(|channel| json!({ "channel": channel, "data": channel }))
        .collect();
    let batch = serde_json::to_vec(&json!({ "messages": batch }))?;
    // A request alone may use a quarter of the room, and one place more.
    for (room, most) in [("1", 1), ("8", 3), ("100", CHANNELS)] {
        let settings = [
            ("auth.hook.concurrent_requests", room),
            ("auth.hook.timeout_ms", "60_000"),
            ("auth.hook.events", "[\"subscribe\", \"publish\"]"),
        ];
        for event in ["subscribe", "publish"] {
            let gate = Gate::shut();
            let asking = Asking::start(&settings, {
                let gate = gate.clone();
                move |_| allow().behind(&gate)
            })
            .await?;
            let requests = async {
                if event == "subscribe" {
                    let join = Join::channels(&channels);
                    asking.broker.join(Transport::RawSse, &join).await?;
                } else {
                    let posted =
                        asking
                            .broker
                            .post("/v1/publish", "application/json", batch.clone());
                    let answer = posted.await?;
                    for (number, channel) in channels.iter().enumerate() {
                        let result = &answer.body["results"][number]["channels"][0];
                        assert_eq!(result["channel"], *channel, "{answer:?}");
                        assert_eq!(result["offset"], 1, "{answer:?}");
                    }
                }
                anyhow::Ok(())
            };
            let answering = async {
                eventually("as many are asked as may be", async || {
                    Ok(asking.asked(event).len() == most)
                })
                .await?;
                gate.open();
                anyhow::Ok(())
            };
            tokio::try_join!(requests, answering)?;
            assert_eq!(asking.asked(event).len(), CHANNELS, "{room} {event}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_is_taken_from_a_channel_while_the_hook_is_asked_does_not_join_it() -> Result<()> {
    let (key, keys) = operator().await?;
    let settings = [
        ("auth.hook.timeout_ms", "60_000"),
        ("auth.hook.events", "[\"subscribe\"]"),
        ("auth.api_key", keys.as_str()),
    ];
    let asking = Asking::start(&settings, |_: &Asked| allow()).await?;
    let url = format!("{}/v1/unsubscribe", asking.broker.base());
    let open = Join::channels(&[]);
    let mut session = asking.broker.join(Transport::JsonWebSocket, &open).await?;
    let name = session.envelope()?.welcome()["session"].clone();
    for cursor in [Value::Null, json!("1-1")] {
        let gate = Gate::shut();
        asking.backend.answers({
            let gate = gate.clone();
            move |_| allow().behind(&gate)
        });
        let before = asking.asked("subscribe").len();
        let command = json!({ "type": "subscribe", "id": 1, "channel": "news", "cursor": cursor });
        session.envelope()?.send(&command).await?;
        eventually("the hook is asked", async || {
            Ok(asking.asked("subscribe").len() > before)
        })
        .await?;
        let order = json!({ "session": name, "channel": "news" });
        let request = asking.broker.http().post(&url).bearer_auth(&key);
        let answer = Answer::read(request.json(&order).send().await?).await?;
        assert_eq!(answer.body["sessions"], 1, "{answer:?}");
        gate.open();
        for expected in [("unsubscribed", "kicked"), ("error", "not_subscribed")] {
            let Heard::Frame(frame) = session.next().await? else {
                anyhow::bail!("no frame");
            };
            let told = (frame["type"].as_str(), frame["code"].as_str());
            assert_eq!(told, (Some(expected.0), Some(expected.1)), "{frame}");
        }
        assert_eq!(asking.broker.subscribers("news").await?, 0);
    }
    // It may come back.
    let command = json!({ "type": "subscribe", "channel": "news" });
    let reply = session.envelope()?.command(command).await?;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    Ok(())
}

#[tokio::test]
async fn batches_that_wait_for_the_hook_keep_no_large_request_out() -> Result<()> {
    // Room for two of the largest requests: an eighth.
    let settings = [
        ("limits.memory_bytes", "134_217_728"),
        ("auth.hook.timeout_ms", "10_000"),
    ];
    let slow = |asked: &Asked| match asked.json()["channel"].as_str() {
        Some("slow") => allow().after(Duration::from_secs(1)),
        _ => allow(),
    };
    let asking = Asking::start(&settings, slow).await?;
    let message = json!({ "channel": "slow", "data": "x".repeat(1_037_500) });
    let batch = json!({ "messages": vec![message; 8] }).to_string();
    let publish = async || {
        let body = batch.clone().into_bytes();
        let broker = &asking.broker;
        broker.post("/v1/publish", "application/json", body).await
    };
    let large = async {
        eventually("both batches wait", async || {
            Ok(asking.asked("publish").len() >= 2)
        })
        .await?;
        asking
            .publish("quick", &json!("y".repeat(500_000)).to_string())
            .await
    };
    tokio::select! {
        answer = large => assert_eq!(answer?.status, 200),
        batches = async { tokio::try_join!(publish(), publish()) } => {
            anyhow::bail!("the batches were done first: {:?}", batches?);
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_counts_for_a_while_but_a_refusal_does_not() -> Result<()> {
    let asking = Asking::start(&[("auth.hook.cache_ms", "3_600_000")], |_| refuse("wait")).await?;
    for _ in 0..2 {
        assert_eq!(asking.get("/channels/news/poll").await?.status, 403);
    }
    assert_eq!(asking.asked("connect").len(), 2);
    asking.backend.answers(|_| allow());
    for _ in 0..3 {
        assert_eq!(asking.get("/channels/news/poll").await?.status, 200);
        assert_eq!(asking.publish("news", "1").await?.status, 200);
    }
    assert_eq!(asking.asked("connect").len(), 3);
    assert_eq!(asking.asked("subscribe").len(), 1);
    assert_eq!(asking.asked("publish").len(), 3);
    assert_eq!(asking.get("/channels/other/poll").await?.status, 200);
    assert_eq!(asking.asked("subscribe").len(), 2);
    let metrics = asking.broker.metrics().await;
    // They are for operators, and there is none here.
    assert!(metrics.is_err());
    Ok(())
}

#[tokio::test]
async fn only_the_events_of_the_settings_are_asked_and_no_backend_is_asked_for() -> Result<()> {
    let (key, keys) = operator().await?;
    let settings = [
        ("auth.hook.events", "[\"publish\"]"),
        ("auth.api_key", keys.as_str()),
    ];
    let asking = Asking::start(&settings, |_| refuse("no")).await?;
    assert_eq!(asking.get("/channels/news/poll").await?.status, 200);
    assert_eq!(asking.publish("news", "1").await?.status, 403);
    let url = format!("{}/channels/news/messages", asking.broker.base());
    let request = asking.broker.http().post(url).bearer_auth(&key).body("x");
    assert_eq!(request.send().await?.status(), 200);
    assert_eq!(asking.backend.asked().len(), 1);
    let metrics = asking
        .broker
        .http()
        .get(format!("{}/metrics", asking.broker.base()));
    let metrics = metrics.bearer_auth(&key).send().await?.text().await?;
    let counted = "widecast_hook_requests_total{event=\"publish\",outcome=\"refused\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_hook_needs_a_secret_and_a_url_that_nobody_else_answers() -> Result<()> {
    let check = async |settings: &[&str]| {
        let mut arguments = vec!["config", "check"];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        cli::run(&arguments).await
    };
    let url = "auth.hook.url=https://backend.example/hook";
    let refused = check(&[url]).await?;
    assert!(
        refused.errors.contains("auth.hook.secret_file"),
        "{refused:?}"
    );
    let directory = tempfile::tempdir()?;
    let secret = directory.path().join("hook.key");
    let setting = format!("auth.hook.secret_file={}", secret.display());
    let refused = check(&[url, &setting]).await?;
    assert!(refused.errors.contains("cannot read"), "{refused:?}");
    std::fs::write(&secret, "short")?;
    let refused = check(&[url, &setting]).await?;
    assert!(refused.errors.contains("at least 32"), "{refused:?}");
    std::fs::write(&secret, SECRET)?;
    assert_eq!(check(&[url, &setting]).await?.status, 0);
    let plain = "auth.hook.url=http://backend.example/hook";
    let refused = check(&[plain, &setting]).await?;
    assert!(
        refused.errors.contains("begins with https://"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_changed_secret_signs_from_then_on_and_a_broken_one_does_not() -> Result<()> {
    const OTHER: &str = "fedcba9876543210fedcba9876543210";
    let asking = Asking::start(&[], |_| allow()).await?;
    let is_signed_with = async |secret: &str| {
        asking.publish("news", "1").await?;
        let asked = asking.backend.asked();
        let last = asked.last().context("asked")?;
        let signed = last.header("widecast-timestamp").context("a time")?;
        let signed = format!("{signed}.{}", last.body);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let digest = ring::hmac::sign(&key, signed.as_bytes());
        let digest = digest
            .as_ref()
            .iter()
            .fold(String::new(), |mut text, byte| {
                // A text takes everything that is written to it.
                let _ = write!(text, "{byte:02x}");
                text
            });
        Ok(last.header("widecast-signature") == Some(&digest))
    };
    assert!(is_signed_with(SECRET).await?);
    std::fs::write(asking.secret(), "short")?;
    eventually("the broken secret is told of", async || {
        assert!(is_signed_with(SECRET).await?);
        Ok(asking.broker.log().contains("mend the file"))
    })
    .await?;
    std::fs::write(asking.secret(), OTHER)?;
    eventually("the new secret signs", async || is_signed_with(OTHER).await).await
}

#[tokio::test]
async fn the_recipe_of_the_documentation_does_what_it_says() -> Result<()> {
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/authentication.md"
    ))?;
    let (_, rest) = page
        .split_once("<!-- recipe: hook -->\n```toml\n")
        .context("the recipe")?;
    let (settings, _) = rest.split_once("```").context("the end of the recipe")?;
    let directory = tempfile::tempdir()?;
    let secret = directory.path().join("hook.key");
    std::fs::write(&secret, SECRET)?;
    let secret = secret.to_str().context("a path of text")?;
    let knows = |asked: &Asked| match asked.json()["event"].as_str() {
        Some("connect") => Reply::body(json!({ "allow": true, "user": "7" })),
        _ => allow(),
    };
    let backend = Backend::start(knows).await?;
    let settings = settings
        .replace(
            "https://backend.example/push/hook",
            &backend.url("/push/hook"),
        )
        .replace("hook.key", secret);
    let broker = Broker::with_toml(&settings).await?;
    let publish = async || {
        broker
            .post("/channels/news/messages", "text/plain", b"x".to_vec())
            .await
    };
    assert_eq!(publish().await?.status, 200);
    let asked = backend.asked();
    let last = asked.last().context("asked")?;
    assert_eq!(last.path, "/push/hook");
    assert_eq!(last.json()["user"], "7", "{last:?}");
    assert_eq!(last.header("widecast-signature").map(str::len), Some(64));
    backend.answers(|_| allow());
    assert_eq!(publish().await?.status, 401);
    Ok(())
}
