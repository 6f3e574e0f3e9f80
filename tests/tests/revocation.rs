//! Taking back what a token allows, and putting clients out: on every transport, at once, and by operators only.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use widecast_protocol::Code;
use widecast_tests::broker::Answer;
use widecast_tests::guarded::{Guarded, assert_refused};
use widecast_tests::{Broker, Heard, Join, Subscriber, Transport, eventually};

/// Long enough for any test.
fn in_an_hour() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs() + 3600
}

/// What a subscriber hears that has to be told that something is over: the code of the frame, of the close frame, or of the answer
/// that ends it; nothing where a stream just ends.
async fn is_told(subscriber: &mut Subscriber, kind: &str) -> Result<Option<String>> {
    loop {
        let heard = subscriber.next().await.map(frame_of);
        match heard {
            Ok(Heard::Frame(frame)) if frame["type"] == kind => {
                return Ok(frame["code"].as_str().map(str::to_owned));
            }
            Ok(Heard::Closed { code, .. }) => return Ok(code.map(|code| code.to_string())),
            Ok(Heard::Frame(_)) => {}
            Ok(other) => bail!("{other:?}"),
            // A poll that is refused.
            Err(error) => return Ok(Some(format!("{error:?}"))),
        }
    }
}

/// Among the values of a page's WebSocket, the broker's own objects are known by their type alone.
fn frame_of(heard: Heard) -> Heard {
    match heard {
        Heard::Message(message) if message.data["type"].is_string() => Heard::Frame(message.data),
        other => other,
    }
}

/// Whether what was told means this code; streams that can only end have no word for it.
fn means(transport: Transport, told: Option<&str>, code: Code) -> bool {
    let Some(told) = told else {
        return matches!(
            transport,
            Transport::RawSse | Transport::ObjectSse | Transport::RawStream
        );
    };
    told == code.as_str() || told == code.close_code().to_string() || told.contains(code.as_str())
}

/// Waits until the broker has as many subscribers of the channel as a test needs: a poll has to be waiting to be put out.
async fn subscribers(guarded: &Guarded, channel: &str, count: u64) -> Result<()> {
    eventually("the subscribers are there", async || {
        let path = format!("/channels/{channel}");
        let answer = guarded
            .ask(Method::GET, &path, Some(&guarded.backend))
            .await?;
        Ok(answer.body["subscribers"] == count)
    })
    .await
}

/// The kinds of transports that wait for something, and so can be put out while they do.
fn waiting() -> impl Iterator<Item = Transport> {
    Transport::ALL
        .into_iter()
        .filter(|it| *it != Transport::ShortPoll)
}

#[tokio::test]
async fn a_revoked_token_ends_on_every_transport_and_is_refused_at_every_door() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in waiting() {
        let name = format!("token-{transport:?}");
        let claims = ["--sub", "9", "--jti", &name];
        let token = guarded
            .token_with(&claims, &["news=subscribe"], 600)
            .await?;
        let join = Join::channel("news").token(&token);
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        let revoke = async {
            subscribers(&guarded, "news", 1).await?;
            let revocation = json!({ "jti": name, "expires_at": in_an_hour() });
            guarded.operate("/v1/revocations", &revocation).await
        };
        let (told, answer) = tokio::join!(is_told(&mut subscriber, "unsubscribed"), revoke);
        let (told, answer) = (told?, answer?);
        assert_eq!(answer["sessions"], 1, "{transport:?} {answer}");
        assert!(
            means(transport, told.as_deref(), Code::Unauthorized),
            "{transport:?} {told:?}"
        );
        drop(subscriber);
        let refused = guarded.broker.join(transport, &join).await;
        let refusal = format!("{:?}", refused.err().context("it was let in")?);
        assert!(
            refusal.contains("unauthorized") || refusal.contains("401"),
            "{transport:?} {refusal}"
        );
    }
    let metrics = guarded.metrics().await?;
    let revoked = f64::from(u32::try_from(waiting().count())?);
    let kept = metrics.value("widecast_revocations");
    assert!((kept - revoked).abs() < 0.5, "{kept}");
    // Each in its session, and each where it was shown again.
    let refused = metrics.value("widecast_revoked_tokens_refused_total");
    assert!(refused >= 2.0 * revoked, "{refused}");
    Ok(())
}

/// On every transport at once: what waits is ended a second after the answer, and the first request that comes then is refused. A
/// machine that stands still for so long may have two more tries.
#[tokio::test]
async fn a_revocation_holds_a_second_after_it_was_answered() -> Result<()> {
    let guarded = Guarded::start().await?;
    let mut took = Vec::new();
    for name in ["a", "b", "c"] {
        let claims = ["--sub", "9", "--jti", name];
        let rights = ["news=subscribe"];
        let token = guarded.token_with(&claims, &rights, 600).await?;
        let join = Join::channel("news").token(&token);
        let mut listening = Vec::new();
        for transport in waiting() {
            let mut subscriber = guarded.broker.join(transport, &join).await?;
            listening.push(tokio::spawn(async move {
                is_told(&mut subscriber, "unsubscribed").await
            }));
        }
        let count = u64::try_from(listening.len())?;
        subscribers(&guarded, "news", count).await?;
        let revocation = json!({ "jti": name, "expires_at": in_an_hour() });
        guarded.operate("/v1/revocations", &revocation).await?;
        let answered = Instant::now();
        let path = "/channels/news/poll";
        let refused = guarded.ask(Method::GET, path, Some(&token)).await?;
        assert_refused(&refused, Code::Unauthorized);
        for end in listening {
            end.await??;
        }
        took.push(answered.elapsed());
        if took.last() < Some(&Duration::from_secs(1)) {
            return Ok(());
        }
    }
    bail!("it took {took:?}");
}

#[tokio::test]
async fn a_session_of_a_revoked_token_goes_on_with_what_others_may_hear() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in waiting().filter(|it| it.is_envelope()) {
        let token = guarded.token(&["news=subscribe"], 600).await?;
        let join = Join::channels(&["news", "open:a"]).token(&token);
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        let revocation = json!({ "user": "7", "expires_at": in_an_hour() });
        guarded.operate("/v1/revocations", &revocation).await?;
        let Heard::Frame(first) = subscriber.next().await? else {
            bail!("{transport:?}: no frame");
        };
        assert_eq!(first["type"], "auth_required", "{transport:?} {first}");
        assert!(first.get("channel").is_none(), "{transport:?} {first}");
        let told = is_told(&mut subscriber, "unsubscribed").await?;
        assert_eq!(told.as_deref(), Some("unauthorized"), "{transport:?}");
        guarded.publish("open:a", Some(&guarded.backend)).await?;
        let message = subscriber.message().await?;
        assert_eq!(message.channel.as_deref(), Some("open:a"), "{transport:?}");
        // With a new token it is as welcome as before; the broker's clock has to be behind the second of the revocation.
        eventually("a new token is taken", async || {
            let token = guarded.token(&["news=subscribe"], 600).await?;
            let command = json!({ "type": "authenticate", "token": token });
            let reply = subscriber.envelope()?.command(command).await?;
            Ok(reply["type"] == "authenticated")
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn tokens_of_a_user_that_were_issued_later_count() -> Result<()> {
    let guarded = Guarded::start().await?;
    let before = guarded.token(&["news=publish"], 600).await?;
    let claims = ["--sub", "8"];
    let others = guarded.token_with(&claims, &["news=publish"], 600).await?;
    let revocation = json!({ "user": "7", "expires_at": in_an_hour() });
    let kept = guarded.operate("/v1/revocations", &revocation).await?;
    assert_eq!(kept["id"], "user:7", "{kept}");
    assert_refused(
        &guarded.publish("news", Some(&before)).await?,
        Code::Unauthorized,
    );
    assert_eq!(guarded.publish("news", Some(&others)).await?.status, 200);
    eventually("a token of a later second counts", async || {
        let after = guarded.token(&["news=publish"], 600).await?;
        Ok(guarded.publish("news", Some(&after)).await?.status == 200)
    })
    .await?;
    assert_refused(
        &guarded.publish("news", Some(&before)).await?,
        Code::Unauthorized,
    );
    let list = guarded
        .ask(Method::GET, "/v1/revocations", Some(&guarded.observer))
        .await?;
    assert_eq!(list.body["revocations"][0]["user"], "7", "{list:?}");
    assert_eq!(list.body["next"], Value::Null, "{list:?}");
    let path = "/v1/revocations/user%3A7";
    let taken_back = async || {
        guarded
            .ask(Method::DELETE, path, Some(&guarded.observer))
            .await
    };
    assert_eq!(taken_back().await?.status, 204);
    assert_refused(&taken_back().await?, Code::NotFound);
    assert_eq!(guarded.publish("news", Some(&before)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_revocation_says_until_when_unless_the_life_of_tokens_is_bounded() -> Result<()> {
    let guarded = Guarded::start().await?;
    let ask = async |guarded: &Guarded, body: Value| {
        let url = format!("{}/v1/revocations", guarded.broker.base());
        let request = guarded.broker.http().post(url).json(&body);
        Answer::read(request.bearer_auth(&guarded.observer).send().await?).await
    };
    for body in [
        json!({ "user": "7" }),
        json!({ "user": "7", "expires_at": 1 }),
        json!({ "expires_at": in_an_hour() }),
        json!({ "user": "7", "jti": "a", "expires_at": in_an_hour() }),
        json!({ "usr": "7", "expires_at": in_an_hour() }),
        json!({ "user": "", "expires_at": in_an_hour() }),
    ] {
        let answer = ask(&guarded, body.clone()).await?;
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        assert_eq!(answer.body["code"], "invalid_request", "{body} {answer:?}");
    }
    let bounded = Guarded::with(|settings| {
        let settings = settings.key("auth.jwt.max_lifetime_ms", "3600000");
        settings.key("auth.max_revocations", "1")
    })
    .await?;
    let answer = ask(&bounded, json!({ "user": "7" })).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let kept = answer.body["expires_at"].as_u64().context("a time")?;
    let revoked = answer.body["revoked_at"].as_u64().context("a time")?;
    assert!((3600..3700).contains(&(kept - revoked)), "{answer:?}");
    assert_refused(
        &ask(&bounded, json!({ "user": "8" })).await?,
        Code::Overloaded,
    );
    let long = bounded.token(&["news=publish"], 7200).await?;
    let refused = bounded.publish("news", Some(&long)).await?;
    assert_refused(&refused, Code::Unauthorized);
    assert!(
        refused.body["detail"]
            .to_string()
            .contains("max_lifetime_ms"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_disconnected_is_told_why_on_every_transport() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in waiting() {
        let token = guarded.token(&["room=subscribe"], 600).await?;
        let join = Join::channel("room").token(&token);
        for selection in [json!({ "user": "7" }), json!({ "channel": "room" })] {
            let mut subscriber = guarded.broker.join(transport, &join).await?;
            let kick = async {
                subscribers(&guarded, "room", 1).await?;
                let mut order = selection.clone();
                order["reason"] = json!("go home");
                guarded.operate("/v1/disconnect", &order).await
            };
            let (told, answer) = tokio::join!(is_told(&mut subscriber, "goodbye"), kick);
            let (told, answer) = (told?, answer?);
            assert_eq!(answer["sessions"], 1, "{transport:?} {answer}");
            assert!(
                means(transport, told.as_deref(), Code::Kicked),
                "{transport:?} {selection} {told:?}"
            );
            drop(subscriber);
            subscribers(&guarded, "room", 0).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn one_session_is_put_out_by_its_name() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in waiting().filter(|it| it.is_envelope()) {
        let join = Join::channel("open:a");
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        let mut other = guarded.broker.join(transport, &join).await?;
        let name = subscriber.envelope()?.welcome()["session"].clone();
        let order = json!({ "session": name, "channel": "open:a" });
        let answer = guarded.operate("/v1/unsubscribe", &order).await?;
        assert_eq!(answer["sessions"], 1, "{transport:?} {answer}");
        let told = is_told(&mut subscriber, "unsubscribed").await?;
        assert_eq!(told.as_deref(), Some("kicked"), "{transport:?}");
        // It is not gone, and may come back.
        subscriber.envelope()?.subscribe("open:a", &join).await?;
        let order = json!({ "session": name });
        guarded.operate("/v1/disconnect", &order).await?;
        let told = is_told(&mut subscriber, "goodbye").await?;
        assert_eq!(told.as_deref(), Some("kicked"), "{transport:?}");
        guarded.publish("open:a", Some(&guarded.backend)).await?;
        other.message().await?;
    }
    Ok(())
}

#[tokio::test]
async fn polls_after_a_goodbye_find_no_session() -> Result<()> {
    let guarded = Guarded::start().await?;
    let poll = async |session: &str, cursor: &Value| {
        let cursor = cursor.as_str().context("a cursor")?;
        let query = [("session", session), ("cursor", cursor)];
        guarded.broker.get(&["v1", "poll"], &query).await
    };
    let query = [("session", "new"), ("channel", "open:a"), ("timeout", "0")];
    let opened = guarded.broker.get(&["v1", "poll"], &query).await?;
    let session = opened["session"].as_str().context("a session")?.to_owned();
    let order = json!({ "session": session });
    guarded.operate("/v1/disconnect", &order).await?;
    // What has not arrived is told again, the goodbye, too.
    let mut told = opened;
    for _ in 0..3 {
        let frames = told["frames"].as_array().context("frames")?;
        if frames.iter().any(|frame| frame["type"] == "goodbye") {
            break;
        }
        let cursor = told["cursor"].clone();
        told = poll(&session, &cursor).await?;
        assert_eq!(told, poll(&session, &cursor).await?);
    }
    let frames = told["frames"].as_array().context("frames")?;
    let last = frames.last().context("a frame")?;
    assert_eq!(
        (&last["type"], &last["code"]),
        (&json!("goodbye"), &json!("kicked"))
    );
    for _ in 0..2 {
        let refused = poll(&session, &told["cursor"]).await.err();
        let refused = format!("{:?}", refused.context("there is a session")?);
        assert!(refused.contains("session_not_found"), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_is_taken_from_one_channel_and_others_stay() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["a=subscribe", "b=subscribe"], 600).await?;
    let join = Join::channels(&["a", "b"]).token(&token);
    let mut session = guarded.broker.join(Transport::JsonWebSocket, &join).await?;
    let stream = Join::channel("a").token(&token);
    let mut stream = guarded.broker.join(Transport::RawStream, &stream).await?;
    let anyone = guarded
        .token_with(&["--sub", "8"], &["a=subscribe"], 600)
        .await?;
    let mut other = guarded
        .broker
        .join(Transport::RawStream, &Join::channel("a").token(&anyone))
        .await?;
    let order = json!({ "user": "7", "channel": "a" });
    let answer = guarded.operate("/v1/unsubscribe", &order).await?;
    assert_eq!(answer["sessions"], 2, "{answer}");
    let told = is_told(&mut session, "unsubscribed").await?;
    assert_eq!(told.as_deref(), Some("kicked"));
    // A stream without frames cannot be told, and ends.
    assert_eq!(is_told(&mut stream, "goodbye").await?, None);
    for channel in ["a", "b"] {
        guarded.publish(channel, Some(&guarded.backend)).await?;
    }
    assert_eq!(session.message().await?.channel.as_deref(), Some("b"));
    other.message().await?;
    Ok(())
}

#[tokio::test]
async fn a_message_to_a_user_reaches_every_session_with_frames() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=subscribe"], 600).await?;
    let stranger = guarded
        .token_with(&["--sub", "8"], &["news=subscribe"], 600)
        .await?;
    let join = Join::channel("news").token(&token);
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    for transport in
        waiting().filter(|it| *it != Transport::LongPoll && *it != Transport::JsonpPoll)
    {
        let subscriber = guarded.broker.join(transport, &join).await?;
        if transport.has_frames() {
            told.push((transport, subscriber));
        } else {
            silent.push(subscriber);
        }
    }
    let join = Join::channel("news").token(&stranger);
    let mut other = guarded.broker.join(Transport::JsonWebSocket, &join).await?;
    let path = "/v1/users/7/messages?event=note&message_id=m-1";
    let answer = guarded.operate(path, &json!({ "n": 1 })).await?;
    assert_eq!(answer["user"], "7", "{answer}");
    assert_eq!(answer["sessions"], told.len(), "{answer}");
    assert_eq!(answer["without_frames"], silent.len(), "{answer}");
    for (transport, subscriber) in &mut told {
        let Heard::Frame(frame) = frame_of(subscriber.next().await?) else {
            bail!("{transport:?}: no frame");
        };
        assert_eq!(frame["type"], "direct", "{transport:?} {frame}");
        assert_eq!(frame["data"], json!({ "n": 1 }), "{transport:?} {frame}");
        assert_eq!(frame["event"], "note", "{transport:?} {frame}");
        assert_eq!(frame["message_id"], "m-1", "{transport:?} {frame}");
        assert_eq!(frame["origin"], "observer", "{transport:?} {frame}");
    }
    guarded.publish("news", Some(&guarded.backend)).await?;
    other.message().await?;
    for subscriber in &mut silent {
        subscriber.message().await?;
    }
    let refused = guarded
        .operate("/v1/users/7/messages?event=widecast.x", &json!(1))
        .await;
    assert!(
        format!("{refused:?}").contains("bad_event_name"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_of_lines_publishes_nothing_after_its_token_was_revoked() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["news=publish"], 600).await?;
    let (lines, sent) = tokio::sync::mpsc::channel::<String>(1);
    let body = futures_util::stream::unfold(sent, async |mut sent| {
        let line = sent.recv().await?;
        Some((Ok::<_, std::io::Error>(line), sent))
    });
    let url = format!("{}/v1/publish", guarded.broker.base());
    let request = guarded.broker.http().post(url).bearer_auth(&token);
    let request = request.header("content-type", "application/x-ndjson");
    let request = request.body(reqwest::Body::wrap_stream(body));
    let line = "{\"channel\":\"news\",\"data\":1}\n";
    lines.send(line.to_owned()).await?;
    let mut answer = request.send().await?;
    let first = answer.chunk().await?.context("a result")?;
    assert!(
        String::from_utf8_lossy(&first).contains("offset"),
        "{first:?}"
    );
    let revocation = json!({ "user": "7", "expires_at": in_an_hour() });
    guarded.operate("/v1/revocations", &revocation).await?;
    lines.send(line.to_owned()).await?;
    let second = answer.chunk().await?.context("a result")?;
    let second = String::from_utf8_lossy(&second);
    assert!(
        second.contains("unauthorized") && second.contains("revoked"),
        "{second}"
    );
    Ok(())
}

#[tokio::test]
async fn only_operators_revoke_and_put_out() -> Result<()> {
    const DOORS: [(Method, &str); 6] = [
        (Method::POST, "/v1/revocations"),
        (Method::GET, "/v1/revocations"),
        (Method::DELETE, "/v1/revocations/user:7"),
        (Method::POST, "/v1/disconnect"),
        (Method::POST, "/v1/unsubscribe"),
        (Method::POST, "/v1/users/7/messages"),
    ];
    let guarded = Guarded::start().await?;
    let token = guarded.token(&["*=*"], 600).await?;
    for (method, path) in DOORS {
        let ask = async |who| guarded.ask(method.clone(), path, who).await;
        assert_refused(&ask(None).await?, Code::Unauthorized);
        assert_refused(&ask(Some(&token)).await?, Code::Forbidden);
        assert_refused(&ask(Some(&guarded.backend)).await?, Code::Forbidden);
    }
    // Without authentication they are whoever is on the same machine, and is not behind a proxy.
    let open = Broker::start().await?;
    let url = format!("{}/v1/disconnect", open.base());
    let request = open.http().post(&url).json(&json!({ "channel": "news" }));
    let answer = Answer::read(request.send().await?).await?;
    let expected = json!({ "sessions": 0, "other_nodes": 0 });
    assert_eq!(answer.body, expected, "{answer:?}");
    let request = open
        .http()
        .post(&url)
        .header("x-forwarded-for", "192.0.2.1");
    let answer = Answer::read(request.json(&json!({ "channel": "news" })).send().await?).await?;
    assert_refused(&answer, Code::Forbidden);
    Ok(())
}
