//! Who is in a channel: members with their data, joins and leaves, and no leave for a quick reconnect.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use widecast_tests::{Broker, Heard, Join, Settings, Subscriber, Transport, eventually};

const ROOM: &str = "room";

async fn broker(grace: Duration) -> Result<Broker> {
    Broker::with(Settings::new().presence_grace(grace)).await
}

fn member(name: &str, key: &str) -> Join {
    Join::channel(ROOM)
        .presence(json!({ "name": name }))
        .sender(key)
}

/// The next frame, which must be of that type; gives its member.
async fn told(subscriber: &mut Subscriber, kind: &str) -> Result<Value> {
    match subscriber.next().await? {
        Heard::Frame(frame) if frame["type"] == kind => Ok(frame["member"].clone()),
        other => anyhow::bail!("heard {other:?} instead of {kind}"),
    }
}

async fn names(broker: &Broker) -> Result<Vec<Value>> {
    let answer = broker.get(&["channels", ROOM, "presence"], &[]).await?;
    let members = answer["members"]
        .as_array()
        .with_context(|| answer.to_string())?;
    let mut names: Vec<_> = members
        .iter()
        .map(|member| member["data"]["name"].clone())
        .collect();
    names.sort_by_key(ToString::to_string);
    Ok(names)
}

#[tokio::test]
async fn members_are_listed_and_their_coming_and_going_is_told() -> Result<()> {
    let broker = broker(Duration::from_millis(100)).await?;
    for transport in [
        Transport::JsonWebSocket,
        Transport::MessagePackWebSocket,
        Transport::EnvelopeSse,
    ] {
        let mut ann = broker
            .join(transport, &member("ann", "sender-key-of-ann"))
            .await?;
        let bob = broker
            .join(transport, &member("bob", "sender-key-of-bob"))
            .await?;
        let mut heard = told(&mut ann, "join").await?;
        if heard["data"]["name"] == "ann" {
            heard = told(&mut ann, "join").await?;
        }
        assert_eq!(heard["data"], json!({ "name": "bob" }));
        assert_eq!(names(&broker).await?, ["ann", "bob"]);
        let asked = ann
            .envelope()?
            .command(json!({ "type": "presence", "channel": ROOM }))
            .await?;
        assert_eq!(
            asked["members"].as_array().map(Vec::len),
            Some(2),
            "{asked}"
        );
        bob.close().await?;
        let gone = told(&mut ann, "leave").await?;
        assert_eq!(
            (&gone["data"]["name"], &gone["id"]),
            (&json!("bob"), &heard["id"])
        );
        assert_eq!(names(&broker).await?, ["ann"]);
        ann.close().await?;
        eventually("the room is empty", async || {
            Ok(names(&broker).await?.is_empty())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_members_come_with_the_subscription() -> Result<()> {
    let broker = broker(Duration::from_millis(100)).await?;
    let _ann = broker
        .join(
            Transport::JsonWebSocket,
            &member("ann", "sender-key-of-ann"),
        )
        .await?;
    let mut bob = broker
        .join(Transport::JsonWebSocket, &Join::channels(&[]))
        .await?;
    let join = Join::channel(ROOM).presence(json!({ "name": "bob" }));
    let reply = bob.envelope()?.subscribe(ROOM, &join).await?;
    let members = reply["members"].as_array().context("members")?;
    assert!(
        members.iter().any(|member| member["data"]["name"] == "ann"),
        "{reply}"
    );
    Ok(())
}

#[tokio::test]
async fn a_quick_reconnect_is_no_leave() -> Result<()> {
    let broker = broker(Duration::from_mins(1)).await?;
    let mut ann = broker
        .join(
            Transport::JsonWebSocket,
            &member("ann", "sender-key-of-ann"),
        )
        .await?;
    let bob = broker
        .join(
            Transport::JsonWebSocket,
            &member("bob", "sender-key-of-bob"),
        )
        .await?;
    while told(&mut ann, "join").await?["data"]["name"] != "bob" {}
    bob.kill();
    eventually("bob's connection is gone", async || {
        Ok(broker.subscribers(ROOM).await? == 1)
    })
    .await?;
    assert_eq!(names(&broker).await?, ["ann", "bob"]);
    let mut bob = broker
        .join(
            Transport::JsonWebSocket,
            &member("bob", "sender-key-of-bob"),
        )
        .await?;
    bob.publish(ROOM, "back").await?;
    // Neither a leave nor a join comes before the message.
    assert_eq!(ann.message().await?.data, json!("back"));
    assert_eq!(names(&broker).await?, ["ann", "bob"]);
    Ok(())
}

#[tokio::test]
async fn somebody_who_vanishes_has_left_after_the_grace_time() -> Result<()> {
    let broker = broker(Duration::from_millis(200)).await?;
    let mut ann = broker
        .join(
            Transport::JsonWebSocket,
            &member("ann", "sender-key-of-ann"),
        )
        .await?;
    for transport in [
        Transport::JsonWebSocket,
        Transport::EnvelopeSse,
        Transport::JsonStream,
    ] {
        let bob = broker
            .join(transport, &member("bob", "sender-key-of-bob"))
            .await?;
        while told(&mut ann, "join").await?["data"]["name"] != "bob" {}
        bob.kill();
        assert_eq!(
            told(&mut ann, "leave").await?["data"]["name"],
            "bob",
            "{transport:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_member_never_sees_the_sender_key_of_another() -> Result<()> {
    let broker = broker(Duration::from_millis(100)).await?;
    let _ann = broker
        .join(
            Transport::JsonWebSocket,
            &member("ann", "sender-key-of-ann"),
        )
        .await?;
    let listed = broker.get(&["channels", ROOM, "presence"], &[]).await?;
    assert!(!listed.to_string().contains("sender-key"), "{listed}");
    Ok(())
}
