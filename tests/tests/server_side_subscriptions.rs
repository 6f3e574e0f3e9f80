//! Channels that a token names (`subscribe_to`): sessions and streams join them without asking.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use widecast_tests::{Guarded, Heard, Join, Subscriber, Transport};

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

async fn naming(guarded: &Guarded, channels: &[&str]) -> Result<String> {
    let mut claims = vec!["--sub", "7"];
    for channel in channels {
        claims.extend(["--subscribe-to", *channel]);
    }
    guarded.token_with(&claims, &[], 600).await
}

#[tokio::test]
async fn sessions_join_the_channels_of_their_token_on_every_transport_with_frames() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = naming(&guarded, &["user:{sub}", "news"]).await?;
    for transport in Transport::ALL.into_iter().filter(|it| it.is_envelope()) {
        let join = Join::channels(&[]).token(&token);
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        for channel in ["news", "user:7"] {
            let told = frame(&mut subscriber, "subscribed").await?;
            assert_eq!(told["channel"], channel, "{transport:?} {told}");
            assert!(told.get("id").is_none(), "{transport:?} {told}");
        }
        for channel in ["user:7", "news"] {
            guarded.publish(channel, Some(&guarded.backend)).await?;
            let message = subscriber.message().await?;
            assert_eq!(message.channel.as_deref(), Some(channel), "{transport:?}");
        }
        // It is the right to subscribe, and no other.
        let publish = json!({ "type": "publish", "channel": "news", "data": 1 });
        let reply = subscriber.envelope()?.command(publish).await?;
        assert_eq!(reply["code"], "forbidden", "{transport:?} {reply}");
    }
    Ok(())
}

#[tokio::test]
async fn a_renewed_token_adds_and_removes() -> Result<()> {
    let guarded = Guarded::start().await?;
    let first = naming(&guarded, &["a", "b"]).await?;
    let second = naming(&guarded, &["b", "c"]).await?;
    for transport in Transport::ALL.into_iter().filter(|it| it.is_envelope()) {
        let join = Join::channels(&["open:a"]).token(&first);
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        for _ in ["a", "b"] {
            frame(&mut subscriber, "subscribed").await?;
        }
        let command = json!({ "type": "authenticate", "token": second });
        subscriber.envelope()?.command(command).await?;
        let left = frame(&mut subscriber, "unsubscribed").await?;
        assert_eq!(left["channel"], "a", "{transport:?} {left}");
        assert_eq!(left["code"], "forbidden", "{transport:?} {left}");
        let joined = frame(&mut subscriber, "subscribed").await?;
        assert_eq!(joined["channel"], "c", "{transport:?} {joined}");
        // What the client has asked for itself stays.
        for channel in ["a", "b", "c", "open:a"] {
            guarded.publish(channel, Some(&guarded.backend)).await?;
        }
        for channel in ["b", "c", "open:a"] {
            let message = subscriber.message().await?;
            assert_eq!(message.channel.as_deref(), Some(channel), "{transport:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_goes_on_where_the_cursor_beside_the_token_says() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = naming(&guarded, &["news", "other"]).await?;
    let published = guarded.publish("news", Some(&guarded.backend)).await?;
    let epoch = published.body["epoch"]
        .as_str()
        .context("an epoch")?
        .to_owned();
    guarded.publish("news", Some(&guarded.backend)).await?;
    let cursor = format!("news={epoch}-1");
    let mut subscriber = guarded
        .broker
        .join(Transport::JsonWebSocket, &Join::channels(&[]))
        .await?;
    let command = json!({ "type": "authenticate", "token": token, "cursor": cursor });
    subscriber.envelope()?.command(command).await?;
    let told = frame(&mut subscriber, "subscribed").await?;
    assert_eq!(told["channel"], "news", "{told}");
    assert_eq!(told["cursor"], format!("{epoch}-1"), "{told}");
    let told = frame(&mut subscriber, "subscribed").await?;
    assert_eq!(told["channel"], "other", "{told}");
    assert_eq!(subscriber.message().await?.offset, Some(2));
    // In an address the cursor stands beside the token.
    for path in [
        "/v1/stream?session=new",
        "/v1/sse?session=new",
        "/v1/poll?session=new&timeout=5",
    ] {
        let url = format!(
            "{}{path}&cursor={}",
            guarded.broker.base(),
            cursor.replace('=', "%3D")
        );
        let request = guarded.broker.http().get(url).bearer_auth(&token);
        let mut answer = request.send().await?.error_for_status()?;
        let mut text = String::new();
        while !text.contains("\"offset\":2") {
            let part = answer
                .chunk()
                .await?
                .with_context(|| format!("{path}: {text}"))?;
            text.push_str(&String::from_utf8_lossy(&part));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_names_no_channel_has_those_of_the_token() -> Result<()> {
    let guarded = Guarded::start().await?;
    let token = naming(&guarded, &["a", "b"]).await?;
    for transport in [
        Transport::RawSse,
        Transport::ObjectSse,
        Transport::RawStream,
        Transport::LongPoll,
    ] {
        let join = Join::channels(&[]).token(&token);
        let mut subscriber = guarded.broker.join(transport, &join).await?;
        guarded.publish("b", Some(&guarded.backend)).await?;
        subscriber
            .message()
            .await
            .with_context(|| format!("{transport:?}"))?;
        let nameless = Join::channels(&[]).token(&guarded.backend);
        let refused = guarded.broker.join(transport, &nameless).await;
        let refusal = format!("{:?}", refused.err().context("it was let in")?);
        assert!(refusal.contains("subscribe_to"), "{transport:?} {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_joined_is_told_and_too_many_are_refused() -> Result<()> {
    let guarded = Guarded::with(|settings| {
        let settings = settings.key("limits.channels_per_session", "2");
        settings.key("namespace.quiet.subscribe", "false")
    })
    .await?;
    let token = naming(&guarded, &["quiet:a", "z"]).await?;
    let join = Join::channels(&[]).token(&token);
    let mut subscriber = guarded.broker.join(Transport::JsonWebSocket, &join).await?;
    let told = frame(&mut subscriber, "unsubscribed").await?;
    assert_eq!(told["code"], "forbidden", "{told}");
    assert_eq!(told["channel"], "quiet:a", "{told}");
    let joined = frame(&mut subscriber, "subscribed").await?;
    assert_eq!(joined["channel"], "z", "{joined}");
    let many = naming(&guarded, &["a", "b", "c"]).await?;
    let refused = guarded.publish("open:a", Some(&many)).await?;
    assert_eq!(refused.status, 401, "{refused:?}");
    let detail = refused.body["detail"].to_string();
    assert!(detail.contains("limits.channels_per_session"), "{detail}");
    Ok(())
}
