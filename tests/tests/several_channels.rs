//! Several channels over one connection: one cursor covers them all.

use anyhow::Result;
use serde_json::json;
use widecast_tests::settings::DEFAULT;
use widecast_tests::{Broker, Heard, Join, Settings, Transport};

const RAW: [Transport; 5] = [
    Transport::RawSse,
    Transport::ObjectSse,
    Transport::RawStream,
    Transport::LongPoll,
    Transport::ShortPoll,
];

#[tokio::test]
async fn one_cursor_resumes_all_channels_of_a_raw_transport() -> Result<()> {
    let broker = Broker::start().await?;
    for transport in RAW {
        let (a, b) = (format!("a/{transport:?}"), format!("b,={transport:?}"));
        let join = Join::channels(&[&a, &b]);
        let publisher = broker.publisher();
        let mut subscriber = broker.join(transport, &join).await?;
        publisher.publish(&a, "a1").await?;
        assert_eq!(subscriber.message().await?.data, json!("a1"));
        publisher.publish(&b, "b1").await?;
        assert_eq!(subscriber.message().await?.data, json!("b1"));
        publisher.publish(&a, "a2").await?;
        assert_eq!(subscriber.message().await?.data, json!("a2"));
        let cursor = subscriber.cursor().unwrap_or_default();
        subscriber.kill();
        publisher.publish(&b, "b2").await?;
        publisher.publish(&a, "a3").await?;
        let mut resumed = broker.join(transport, &join.from(cursor)).await?;
        publisher.publish(&b, "b3").await?;
        let mut heard = resumed.data(3).await?;
        heard.sort_by_key(ToString::to_string);
        assert_eq!(
            heard,
            [json!("a3"), json!("b2"), json!("b3")],
            "{transport:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn one_cursor_resumes_all_channels_when_nothing_had_been_received() -> Result<()> {
    let broker = Broker::start().await?;
    for transport in RAW {
        let (a, b) = (format!("a/{transport:?}"), format!("b/{transport:?}"));
        let join = Join::channels(&[&a, &b]);
        let subscriber = broker.join(transport, &join).await?;
        let cursor = subscriber.cursor().unwrap_or_default();
        subscriber.kill();
        broker.publisher().publish(&b, "b1").await?;
        broker.publisher().publish(&a, "a1").await?;
        let mut resumed = broker.join(transport, &join.from(cursor)).await?;
        let mut heard = resumed.data(2).await?;
        heard.sort_by_key(ToString::to_string);
        assert_eq!(heard, [json!("a1"), json!("b1")], "{transport:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_gap_in_one_channel_is_no_gap_in_the_other() -> Result<()> {
    let broker = Broker::with(Settings::new().history("small", 2, 1 << 20)).await?;
    for transport in [
        Transport::RawSse,
        Transport::ObjectSse,
        Transport::RawStream,
    ] {
        let (a, b) = (format!("small:{transport:?}"), format!("b/{transport:?}"));
        let join = Join::channels(&[&a, &b]);
        let subscriber = broker.join(transport, &join).await?;
        let cursor = subscriber.cursor().unwrap_or_default();
        subscriber.kill();
        for number in 0..5 {
            broker.publisher().publish(&a, json!([number])).await?;
        }
        broker.publisher().publish(&b, "b1").await?;
        let mut resumed = broker.join(transport, &join.from(cursor)).await?;
        let mut gaps = 0;
        loop {
            match resumed.next().await? {
                Heard::Gap { channel } => {
                    gaps += 1;
                    assert!(channel.is_none_or(|channel| channel == a));
                }
                Heard::Message(message) if message.data == "b1" => break,
                other => panic!("{transport:?} heard {other:?}"),
            }
        }
        broker.publisher().publish(&a, "after").await?;
        if gaps == 0 {
            assert!(
                matches!(resumed.next().await?, Heard::Gap { .. }),
                "{transport:?}"
            );
        }
        assert_eq!(
            resumed.message().await?.data,
            json!("after"),
            "{transport:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_that_is_new_to_the_cursor_begins_at_its_end() -> Result<()> {
    let broker = Broker::start().await?;
    // A poll joins when it asks, and a test could not publish between that and its answer.
    for transport in [
        Transport::RawSse,
        Transport::ObjectSse,
        Transport::RawStream,
    ] {
        let (a, b, c) = (
            format!("a/{transport:?}"),
            format!("b/{transport:?}"),
            format!("c/{transport:?}"),
        );
        let subscriber = broker.join(transport, &Join::channels(&[&a, &b])).await?;
        let cursor = subscriber.cursor().unwrap_or_default();
        subscriber.kill();
        broker.publisher().publish(&a, "a1").await?;
        broker.publisher().publish(&c, "old").await?;
        let mut resumed = broker
            .join(transport, &Join::channels(&[&a, &c]).from(cursor))
            .await?;
        broker.publisher().publish(&c, "new").await?;
        let mut heard = resumed.data(2).await?;
        heard.sort_by_key(ToString::to_string);
        assert_eq!(heard, [json!("a1"), json!("new")], "{transport:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_envelope_session_joins_and_leaves_channels() -> Result<()> {
    let broker = Broker::with(Settings::new().script_access(DEFAULT)).await?;
    for transport in Transport::ALL
        .into_iter()
        .filter(|transport| transport.is_envelope())
    {
        let (a, b) = (format!("a/{transport:?}"), format!("b/{transport:?}"));
        let mut session = broker.join(transport, &Join::channels(&[&a, &b])).await?;
        let publisher = broker.publisher();
        publisher.publish(&a, "a1").await?;
        publisher.publish(&b, "b1").await?;
        let mut heard = session.data(2).await?;
        heard.sort_by_key(ToString::to_string);
        assert_eq!(heard, [json!("a1"), json!("b1")]);
        let leave = json!({ "type": "unsubscribe", "channel": a });
        let reply = session.envelope()?.command(leave.clone()).await?;
        assert_eq!(
            (&reply["type"], &reply["channel"]),
            (&json!("unsubscribed"), &json!(a))
        );
        publisher.publish(&a, "a2").await?;
        publisher.publish(&b, "b2").await?;
        assert_eq!(session.message().await?.data, json!("b2"), "{transport:?}");
        let reply = session.envelope()?.command(leave).await?;
        assert_eq!(
            (&reply["type"], &reply["code"]),
            (&json!("error"), &json!("not_subscribed"))
        );
        assert_eq!(broker.subscribers(&a).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_subscription_can_begin_with_past_messages() -> Result<()> {
    let broker = Broker::with(Settings::new().script_access(DEFAULT)).await?;
    broker
        .publisher()
        .publish_all("news", (1..=5).map(|n| json!([n])))
        .await?;
    for transport in Transport::ALL
        .into_iter()
        .filter(|transport| transport.is_envelope())
    {
        let mut session = broker
            .join(transport, &Join::channel("news").history(2))
            .await?;
        assert_eq!(
            session.data(2).await?,
            [json!([4]), json!([5])],
            "{transport:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_session_answers_every_command_that_has_an_id() -> Result<()> {
    let broker = Broker::with(Settings::new().script_access(DEFAULT)).await?;
    for transport in Transport::ALL
        .into_iter()
        .filter(|transport| transport.is_envelope())
    {
        let channel = format!("{transport:?}");
        let mut session = broker.join(transport, &Join::channel(&channel)).await?;
        let session = session.envelope()?;
        let pong = session.command(json!({ "type": "ping" })).await?;
        assert_eq!(pong["type"], "pong", "{transport:?}");
        let batch = json!({ "type": "batch", "messages": [
            { "channel": channel, "data": 1 },
            { "channel": channel, "data": 2, "event": "a\nb" },
        ] });
        let reply = session.command(batch).await?;
        assert_eq!(reply["type"], "batch", "{transport:?}: {reply}");
        assert_eq!(reply["results"][0]["offset"], 1);
        assert_eq!(reply["results"][1]["code"], "bad_event_name");
        let history = json!({ "type": "history", "channel": channel, "limit": 10 });
        let reply = session.command(history).await?;
        assert_eq!(reply["messages"][0]["data"], 1, "{transport:?}: {reply}");
        let reply = session.command(json!({ "type": "dance" })).await?;
        assert_eq!(
            (&reply["type"], &reply["code"]),
            (&json!("error"), &json!("bad_command"))
        );
        assert!(
            reply["message"]
                .as_str()
                .is_some_and(|text| text.contains("dance")),
            "{reply}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn message_objects_in_events_tell_the_channels_apart() -> Result<()> {
    let broker = Broker::start().await?;
    let join = Join::channels(&["a", "b"]);
    let mut subscriber = broker.join(Transport::ObjectSse, &join).await?;
    broker.publisher().publish("b", 1).await?;
    broker
        .publisher()
        .publish_event("a", "named", "two")
        .await?;
    let first = subscriber.message().await?;
    assert_eq!(
        (first.channel.as_deref(), first.data),
        (Some("b"), json!(1))
    );
    let second = subscriber.message().await?;
    assert_eq!(second.channel.as_deref(), Some("a"));
    assert_eq!(second.event.as_deref(), Some("named"));
    assert_eq!(second.data, json!("two"));
    Ok(())
}
