//! Tokens for single channels: what they allow, on every transport with commands, and what happens when they end.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use widecast_tests::subscriber::envelope::Envelope;
use widecast_tests::{Guarded, Heard, Join, Subscriber, Transport, eventually};

/// The transports whose sessions take commands.
fn with_commands() -> impl Iterator<Item = Transport> {
    Transport::ALL.into_iter().filter(|it| it.is_envelope())
}

async fn subscribe(session: &mut Envelope, channel: &str, token: &str) -> Result<Value> {
    let command = json!({ "type": "subscribe", "channel": channel, "token": token });
    session.command(command).await
}

/// Joins with a token that ends soon. On a busy machine the first ones may have ended before.
async fn subscribe_for_short(
    guarded: &Guarded,
    session: &mut Envelope,
    channel: &str,
) -> Result<String> {
    for seconds in [2, 4, 8, 16] {
        let rule = format!("{channel}=subscribe");
        let token = guarded.token_with(&[], &[&rule], seconds).await?;
        let reply = subscribe(session, channel, &token).await?;
        if reply["type"] == "subscribed" {
            return Ok(token);
        }
    }
    bail!("no token was valid for long enough to join");
}

/// The next frame of a type.
async fn frame(subscriber: &mut Subscriber, kind: &str) -> Result<Value> {
    loop {
        match subscriber.next().await? {
            Heard::Frame(frame) if frame["type"] == kind => return Ok(frame),
            Heard::Frame(_) => {}
            other => bail!("{other:?} instead of {kind}"),
        }
    }
}

#[tokio::test]
async fn a_token_allows_what_it_says_on_its_channel_alone() -> Result<()> {
    let guarded = Guarded::start().await?;
    let rights = ["room-*=subscribe,publish", "news=subscribe"];
    let token = guarded.token_with(&[], &rights, 600).await?;
    for transport in with_commands() {
        let join = Join::channels(&[]).echo();
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        let session = subscriber.envelope()?;
        let reply = subscribe(session, "room-1", &token).await?;
        assert_eq!(reply["type"], "subscribed", "{transport:?} {reply}");
        let publish = |channel| json!({ "type": "publish", "channel": channel, "data": 1 });
        let reply = session.command(publish("room-1")).await?;
        assert_eq!(reply["type"], "published", "{transport:?} {reply}");
        // The token has the right for these, too, but was not shown for them; nor does it make its owner a user.
        for channel in ["room-2", "users:a"] {
            let reply = session.command(publish(channel)).await?;
            assert_eq!(
                reply["code"], "unauthorized",
                "{transport:?} {channel} {reply}"
            );
        }
        let reply = subscribe(session, "news", &token).await?;
        assert_eq!(reply["type"], "subscribed", "{transport:?} {reply}");
        let reply = session.command(publish("news")).await?;
        assert_eq!(reply["code"], "unauthorized", "{transport:?} {reply}");
        assert_eq!(
            subscriber.message().await?.channel.as_deref(),
            Some("room-1")
        );
        // With the channel the token is left, too.
        let session = subscriber.envelope()?;
        let leave = json!({ "type": "unsubscribe", "channel": "room-1" });
        session.command(leave).await?;
        let join = json!({ "type": "subscribe", "channel": "room-1" });
        let reply = session.command(join).await?;
        assert_eq!(reply["code"], "unauthorized", "{transport:?} {reply}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_refused_and_the_one_before_stays() -> Result<()> {
    let guarded = Guarded::start().await?;
    let good = guarded.token(&["news=subscribe"], 600).await?;
    let ended = guarded.token(&["news=subscribe"], 0).await?;
    let other = guarded
        .token_with(&["--sub", "8"], &["news=subscribe"], 600)
        .await?;
    let elsewhere = guarded.token(&["other=subscribe"], 600).await?;
    let own = guarded.token(&[], 600).await?;
    for transport in with_commands() {
        let join = Join::channels(&[]).token(&own);
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        let session = subscriber.envelope()?;
        let reply = subscribe(session, "news", &good).await?;
        assert_eq!(reply["type"], "subscribed", "{transport:?} {reply}");
        for (what, token, code) in [
            ("ended", ended.as_str(), "unauthorized"),
            ("of another user", &other, "unauthorized"),
            ("no token", "a.b.c", "unauthorized"),
            ("an API key", &guarded.backend, "unauthorized"),
            ("for another channel", &elsewhere, "forbidden"),
        ] {
            let reply = subscribe(session, "news", token).await?;
            assert_eq!(reply["code"], code, "{transport:?} {what} {reply}");
        }
        guarded.publish("news", Some(&guarded.backend)).await?;
        subscriber.message().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_session_hears_that_a_token_ends_and_at_the_end_leaves_that_channel_alone() -> Result<()>
{
    let guarded = Guarded::start().await?;
    for transport in [
        Transport::JsonWebSocket,
        Transport::EnvelopeSse,
        Transport::EnvelopePoll,
    ] {
        let join = Join::channel("open:a");
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        subscribe_for_short(&guarded, subscriber.envelope()?, "news").await?;
        let told = frame(&mut subscriber, "auth_required").await?;
        assert_eq!(told["channel"], "news", "{transport:?} {told}");
        let left = frame(&mut subscriber, "unsubscribed").await?;
        assert_eq!(left["channel"], "news", "{transport:?} {left}");
        assert_eq!(left["code"], "unauthorized", "{transport:?} {left}");
        for channel in ["news", "open:a"] {
            guarded.publish(channel, Some(&guarded.backend)).await?;
        }
        let message = subscriber.message().await?;
        assert_eq!(message.channel.as_deref(), Some("open:a"), "{transport:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_renewed_token_leaves_no_gap_and_joins_nobody_twice() -> Result<()> {
    let guarded = Guarded::start().await?;
    let long = guarded
        .token_with(&[], &["news=subscribe,presence"], 600)
        .await?;
    let watcher = Join::channel("news")
        .token(&guarded.backend)
        .presence(json!("watcher"));
    let mut watcher = guarded
        .broker
        .join(Transport::JsonWebSocket, &watcher)
        .await?;
    let mut subscriber = guarded
        .broker
        .join(Transport::JsonWebSocket, &Join::channels(&[]))
        .await?;
    let session = subscriber.envelope()?;
    let short = guarded
        .token_with(&[], &["news=subscribe,presence"], 8)
        .await?;
    let command =
        json!({ "type": "subscribe", "channel": "news", "token": short, "presence": "me" });
    let reply = session.command(command).await?;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    let seen = frame(&mut watcher, "join").await?;
    assert_eq!(seen["member"]["data"], "me", "{seen}");
    guarded.publish("news", Some(&guarded.backend)).await?;
    let reply = subscribe(session, "news", &long).await?;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    assert_eq!(reply["recovered"], true, "{reply}");
    eventually("the first token has ended", async || {
        let asked = guarded
            .ask(Method::GET, "/channels/news", Some(&short))
            .await?;
        Ok(asked.status == 401)
    })
    .await?;
    guarded.publish("news", Some(&guarded.backend)).await?;
    for offset in [1, 2] {
        assert_eq!(subscriber.message().await?.offset, Some(offset));
        assert_eq!(watcher.message().await?.offset, Some(offset));
    }
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_ends_its_channel_and_nothing_else() -> Result<()> {
    let guarded = Guarded::start().await?;
    for transport in with_commands() {
        let join = Join::channel("open:a");
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        let name = format!("one-{transport:?}");
        let claims = ["--jti", &name];
        let revoked = guarded
            .token_with(&claims, &["news=subscribe"], 600)
            .await?;
        let kept = guarded.token_with(&[], &["other=subscribe"], 600).await?;
        let session = subscriber.envelope()?;
        subscribe(session, "news", &revoked).await?;
        subscribe(session, "other", &kept).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let revocation = json!({ "jti": name, "expires_at": now + 3600 });
        let answer = guarded.operate("/v1/revocations", &revocation).await?;
        assert_eq!(answer["sessions"], 1, "{transport:?} {answer}");
        let left = frame(&mut subscriber, "unsubscribed").await?;
        assert_eq!(left["channel"], "news", "{transport:?} {left}");
        assert_eq!(left["code"], "unauthorized", "{transport:?} {left}");
        for channel in ["news", "other"] {
            guarded.publish(channel, Some(&guarded.backend)).await?;
        }
        let message = subscriber.message().await?;
        assert_eq!(message.channel.as_deref(), Some("other"), "{transport:?}");
    }
    Ok(())
}

#[tokio::test]
async fn with_the_token_of_the_session_those_of_its_channels_end_that_name_another_user()
-> Result<()> {
    let guarded = Guarded::start().await?;
    let mut subscriber = guarded
        .broker
        .join(Transport::JsonWebSocket, &Join::channels(&[]))
        .await?;
    let session = subscriber.envelope()?;
    let of_seven = guarded.token(&["news=subscribe"], 600).await?;
    let of_nobody = guarded.token_with(&[], &["other=subscribe"], 600).await?;
    subscribe(session, "news", &of_seven).await?;
    subscribe(session, "other", &of_nobody).await?;
    let eight = guarded.token_with(&["--sub", "8"], &[], 600).await?;
    let reply = session
        .command(json!({ "type": "authenticate", "token": eight }))
        .await?;
    assert_eq!(reply["user"], "8", "{reply}");
    let left = frame(&mut subscriber, "unsubscribed").await?;
    assert_eq!(left["channel"], "news", "{left}");
    for channel in ["news", "other"] {
        guarded.publish(channel, Some(&guarded.backend)).await?;
    }
    let message = subscriber.message().await?;
    assert_eq!(message.channel.as_deref().context("a channel")?, "other");
    Ok(())
}
