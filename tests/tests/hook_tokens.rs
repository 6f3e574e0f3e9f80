//! The authorisation hook and those who have tokens: what ends while the hook thinks has ended, whatever it answers then.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use widecast_protocol::Code;
use widecast_tests::backend::{Asked, Backend, Gate, Reply};
use widecast_tests::broker::Answer;
use widecast_tests::guarded::{Guarded, assert_refused};
use widecast_tests::{Join, Settings, Subscriber, Transport, eventually};

/// A broker with tokens that asks a backend.
struct Asking {
    guarded: Guarded,
    backend: Backend,
    _directory: TempDir,
}

impl Asking {
    /// With a backend that allows everything.
    async fn start(more: impl FnOnce(Settings) -> Settings) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("hook.key");
        std::fs::write(&secret, "0123456789abcdef0123456789abcdef")?;
        let secret = secret.to_str().context("a path of text")?;
        let backend = Backend::start(|_| allow()).await?;
        let url = format!("{:?}", backend.url("/hook"));
        let guarded = Guarded::with(|settings| {
            more(settings)
                .key("auth.hook.url", url)
                .key("auth.hook.secret_file", format!("{secret:?}"))
                .key("auth.hook.timeout_ms", "60000")
        })
        .await?;
        Ok(Self {
            guarded,
            backend,
            _directory: directory,
        })
    }

    /// From now on what the backend says to this event waits until the gate is opened.
    fn hold(&self, event: &'static str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Gate {
        let gate = Gate::shut();
        let held = gate.clone();
        self.backend.answers(move |asked: &Asked| {
            if asked.json()["event"] == event {
                reply().behind(&held)
            } else {
                reply()
            }
        });
        gate
    }

    /// How often the backend was asked about this event.
    fn asked(&self, event: &str) -> usize {
        let asked = self.backend.asked();
        let meant = asked.iter().filter(|asked| asked.json()["event"] == event);
        meant.count()
    }

    /// Waits until the backend was asked about this event so often.
    async fn until_asked(&self, event: &str, times: usize) -> Result<()> {
        eventually("the hook is asked", async || Ok(self.asked(event) >= times)).await
    }

    /// A token of this user for what `news` and `room` have.
    async fn token_of(&self, user: &str) -> Result<String> {
        let claims = ["--sub", user];
        let allow = ["news=subscribe,publish,history", "room=subscribe,publish"];
        self.guarded.token_with(&claims, &allow, 600).await
    }

    async fn session(&self, token: &str) -> Result<Subscriber> {
        let join = Join::channels(&[]).token(token);
        let broker = &self.guarded.broker;
        broker.join(Transport::JsonWebSocket, &join).await
    }

    async fn revoke(&self, user: &str) -> Result<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let revocation = json!({ "user": user, "expires_at": now.as_secs() + 3600 });
        self.guarded.operate("/v1/revocations", &revocation).await
    }

    /// What the history of a channel has.
    async fn published(&self, channel: &str) -> Result<Value> {
        let path = format!("/channels/{channel}/messages");
        let backend = Some(self.guarded.backend.as_str());
        let page = self.guarded.ask(Method::GET, &path, backend).await?;
        Ok(page.body["messages"].clone())
    }
}

fn allow() -> Reply {
    Reply::body(json!({ "allow": true }))
}

#[tokio::test]
async fn a_session_whose_token_is_revoked_while_the_hook_is_asked_can_do_nothing_with_it()
-> Result<()> {
    let asking = Asking::start(|settings| settings).await?;
    for (event, command) in [
        (
            "subscribe",
            json!({ "type": "subscribe", "channel": "news" }),
        ),
        ("subscribe", json!({ "type": "history", "channel": "news" })),
        (
            "publish",
            json!({ "type": "publish", "channel": "news", "data": 1 }),
        ),
    ] {
        let user = command["type"].as_str().context("a word")?;
        let mut session = asking.session(&asking.token_of(user).await?).await?;
        let times = asking.asked(event) + 1;
        let gate = asking.hold(event, allow);
        let revoked = async {
            asking.until_asked(event, times).await?;
            asking.revoke(user).await?;
            gate.open();
            anyhow::Ok(())
        };
        let (reply, revoked) = tokio::join!(session.envelope()?.command(command.clone()), revoked);
        let (reply, ()) = (reply?, revoked?);
        assert_eq!(reply["code"], "unauthorized", "{command} {reply}");
        let unsubscribe = json!({ "type": "unsubscribe", "channel": "news" });
        let reply = session.envelope()?.command(unsubscribe).await?;
        assert_eq!(reply["code"], "not_subscribed", "{command} {reply}");
    }
    assert_eq!(asking.published("news").await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn a_request_whose_token_is_revoked_while_the_hook_is_asked_is_refused() -> Result<()> {
    let asking = Asking::start(|settings| settings).await?;
    for (number, (event, method, path)) in [
        ("connect", Method::GET, "/channels/news/messages"),
        ("connect", Method::GET, "/channels/news/poll"),
        ("connect", Method::GET, "/channels/news/sse"),
        ("connect", Method::POST, "/channels/news/messages"),
        ("subscribe", Method::GET, "/channels/news/messages"),
        ("subscribe", Method::GET, "/channels/news/poll"),
        ("subscribe", Method::GET, "/channels/news/poll?timeout=1"),
        ("subscribe", Method::GET, "/channels/news/sse"),
        ("subscribe", Method::GET, "/channels/news/stream"),
        ("publish", Method::POST, "/channels/news/messages"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("user{number}");
        let token = asking.token_of(&user).await?;
        let times = asking.asked(event) + 1;
        let gate = asking.hold(event, allow);
        let url = format!("{}{path}", asking.guarded.broker.base());
        let request = asking.guarded.broker.http().request(method, url);
        let request = request.body("x").bearer_auth(token).send();
        let revoked = async {
            asking.until_asked(event, times).await?;
            asking.revoke(&user).await?;
            gate.open();
            anyhow::Ok(())
        };
        let (answer, revoked) = tokio::join!(request, revoked);
        let (answer, ()) = (answer?, revoked?);
        assert_eq!(answer.status(), 401, "{event} {path}");
        assert_refused(&Answer::read(answer).await?, Code::Unauthorized);
    }
    assert_eq!(asking.published("news").await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn nothing_more_of_a_client_that_was_put_out_is_published() -> Result<()> {
    let asking =
        Asking::start(|settings| settings.key("auth.hook.events", "[\"publish\"]")).await?;
    let message = json!({ "channel": "news", "data": 1 });
    for (times, command) in [
        json!({ "type": "publish", "channel": "news", "data": 1 }),
        json!({ "type": "batch", "messages": [message, message, message] }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut session = asking.session(&asking.token_of("7").await?).await?;
        let gate = asking.hold("publish", allow);
        session.envelope()?.send(&command).await?;
        asking.until_asked("publish", times + 1).await?;
        let order = json!({ "user": "7" });
        let answer = asking.guarded.operate("/v1/disconnect", &order).await?;
        assert_eq!(answer["sessions"], 1, "{command} {answer}");
        gate.open();
        // It is there for as long as what it was sent is being carried out.
        drop(session);
        eventually("the session is gone", async || {
            let metrics = asking.guarded.metrics().await?;
            Ok(metrics.sum(&["widecast_sessions{"]) < 0.5)
        })
        .await?;
        assert_eq!(asking.published("news").await?, json!([]), "{command}");
        assert_eq!(asking.asked("publish"), times + 1, "{command}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_loses_a_token_gains_no_right_before_the_hook_has_answered() -> Result<()> {
    let asking = Asking::start(|settings| {
        settings
            .key("auth.hook.events", "[\"connect\"]")
            .key("namespace.default.anonymous", "[\"*\"]")
    })
    .await?;
    let narrow = || Reply::body(json!({ "allow": true, "channels": { "lobby": "*" } }));
    for (user, narrow_before) in [("narrow", true), ("wide", false)] {
        if narrow_before {
            asking.backend.answers(move |_| narrow());
        } else {
            asking.backend.answers(|_| allow());
        }
        let mut session = asking.session(&asking.token_of(user).await?).await?;
        let session = session.envelope()?;
        session.subscribe("lobby", &Join::channel("lobby")).await?;
        let times = asking.asked("connect") + 1;
        let gate = asking.hold("connect", narrow);
        // The order is carried out when the hook has answered.
        let revoking = asking.revoke(user);
        let meanwhile = async {
            asking.until_asked("connect", times).await?;
            let refused = if narrow_before {
                "forbidden"
            } else {
                "authorization_unavailable"
            };
            for (channel, code) in [("secret", refused), ("lobby", "authorization_unavailable")] {
                for command in ["publish", "history", "presence"] {
                    let command = json!({ "type": command, "channel": channel, "data": 1 });
                    let reply = session.command(command.clone()).await?;
                    assert_eq!(reply["code"], code, "{user} {command} {reply}");
                }
            }
            let command = json!({ "type": "subscribe", "channel": "secret" });
            let reply = session.command(command).await?;
            assert_eq!(reply["code"], refused, "{user} {reply}");
            // It goes on to hear what it has joined.
            let backend = Some(asking.guarded.backend.as_str());
            asking.guarded.publish("lobby", backend).await?;
            loop {
                match session.next().await? {
                    widecast_tests::Heard::Message(_) => break,
                    widecast_tests::Heard::Frame(frame) if frame["type"] == "auth_required" => {}
                    other => bail!("{user}: {other:?}"),
                }
            }
            gate.open();
            anyhow::Ok(())
        };
        let (revoked, meanwhile) = tokio::join!(revoking, meanwhile);
        meanwhile?;
        revoked?;
        session.publish("lobby", json!(1)).await?;
        let command = json!({ "type": "publish", "channel": "secret", "data": 1 });
        let reply = session.command(command).await?;
        assert_eq!(reply["code"], "forbidden", "{user} {reply}");
    }
    Ok(())
}

#[tokio::test]
async fn in_what_the_hook_answers_sub_stands_for_the_user_of_the_token() -> Result<()> {
    let asking = Asking::start(|settings| {
        let settings = settings.key("auth.hook.events", "[\"connect\"]");
        settings.key("namespace.default.user", "[\"*\"]")
    })
    .await?;
    let token = asking.token_of("7").await?;
    for answer in [
        json!({ "allow": true, "channels": { "user:{sub}": "publish" } }),
        json!({ "allow": true, "user": "8", "channels": { "user:{sub}": "publish" } }),
    ] {
        let answer = Arc::new(answer);
        let said = Arc::clone(&answer);
        asking.backend.answers(move |_| Reply::body(&said));
        let own = asking.guarded.publish("user:7", Some(&token)).await?;
        assert_eq!(own.status, 200, "{answer} {own:?}");
        for other in ["user:8", "secret"] {
            let refused = asking.guarded.publish(other, Some(&token)).await?;
            assert_refused(&refused, Code::Forbidden);
        }
    }
    Ok(())
}
