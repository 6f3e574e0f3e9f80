//! Who is in a channel: members with their data, joins and leaves, and no leave for a quick reconnect.

use std::collections::BTreeMap;
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
async fn a_member_that_vanishes_has_left_after_the_grace_time() -> Result<()> {
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

/// Sessions, on which a change of presence is answered.
const SESSIONS: [Transport; 4] = [
    Transport::JsonWebSocket,
    Transport::MessagePackWebSocket,
    Transport::EnvelopeSse,
    Transport::EnvelopePoll,
];

/// Subscribes to the room as the fields say; gives the answer.
async fn subscribe(session: &mut Subscriber, fields: Value) -> Result<Value> {
    let mut command = json!({ "type": "subscribe", "channel": ROOM });
    for (name, value) in fields.as_object().context("fields")? {
        command[name] = value.clone();
    }
    let reply = session.envelope()?.command(command).await?;
    assert_eq!(reply["type"], "subscribed", "{reply}");
    Ok(reply)
}

#[tokio::test]
async fn a_session_that_no_longer_wants_to_be_listed_misses_no_message() -> Result<()> {
    let broker = broker(Duration::ZERO).await?;
    let mut ann = broker
        .join(
            Transport::JsonWebSocket,
            &member("ann", "sender-key-of-ann"),
        )
        .await?;
    for transport in SESSIONS {
        let mut bob = broker
            .join(transport, &member("bob", "sender-key-of-bob"))
            .await?;
        while told(&mut ann, "join").await?["data"]["name"] != "bob" {}
        // `null` says nothing.
        let reply = subscribe(&mut bob, json!({ "presence": null })).await?;
        assert_eq!(names(&broker).await?, ["ann", "bob"], "{reply}");
        broker.publisher().publish(ROOM, 1).await?;
        let reply = subscribe(&mut bob, json!({ "presence": false })).await?;
        assert_eq!(reply["members"], Value::Null, "{transport:?}");
        assert_eq!(ann.message().await?.data, 1);
        assert_eq!(told(&mut ann, "leave").await?["data"]["name"], "bob");
        assert_eq!(names(&broker).await?, ["ann"], "{transport:?}");
        broker.publisher().publish(ROOM, 2).await?;
        assert_eq!(bob.data(2).await?, [json!(1), json!(2)], "{transport:?}");
        assert_eq!(ann.message().await?.data, 2);
        // And once more, with the members as they are then.
        let reply = subscribe(&mut bob, json!({ "presence": { "name": "rob" } })).await?;
        let members = reply["members"].as_array().map(Vec::len);
        assert_eq!(members, Some(2), "{transport:?}");
        assert_eq!(told(&mut ann, "join").await?["data"]["name"], "rob");
        // A cursor without a word about presence: the channel is left, and joined as one that is not listed.
        let cursor = broker.end_of(ROOM).await?;
        subscribe(&mut bob, json!({ "cursor": cursor })).await?;
        assert_eq!(told(&mut ann, "leave").await?["data"]["name"], "rob");
        assert_eq!(names(&broker).await?, ["ann"], "{transport:?}");
        bob.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn other_data_is_a_join_and_no_leave_however_it_is_said() -> Result<()> {
    let broker = broker(Duration::ZERO).await?;
    let mut ann = broker
        .join(
            Transport::JsonWebSocket,
            &member("ann", "sender-key-of-ann"),
        )
        .await?;
    let cid = member("cid", "sender-key-of-cid");
    let mut cid = broker.join(Transport::JsonWebSocket, &cid).await?;
    for transport in SESSIONS {
        let mut bob = broker
            .join(transport, &member("bob", "sender-key-of-bob"))
            .await?;
        let bob_id = loop {
            let member = told(&mut ann, "join").await?;
            if member["data"]["name"] == "bob" {
                break member["id"].clone();
            }
        };
        subscribe(&mut bob, json!({ "presence": { "name": "bob 2" } })).await?;
        assert_eq!(told(&mut ann, "join").await?["data"]["name"], "bob 2");
        let cursor = broker.end_of(ROOM).await?;
        let fields = json!({ "presence": { "name": "bob 3" }, "cursor": cursor });
        subscribe(&mut bob, fields).await?;
        assert_eq!(told(&mut ann, "join").await?["data"]["name"], "bob 3");
        // Left and back at once: how much of it is told depends on how soon, but not what it comes to.
        let commands = json!([
            { "type": "unsubscribe", "channel": ROOM },
            { "type": "subscribe", "channel": ROOM, "presence": { "name": "bob 4" } },
            { "type": "unsubscribe", "channel": ROOM },
        ]);
        bob.envelope()?.send(&commands).await?;
        // Commands are carried out in their order.
        bob.envelope()?.command(json!({ "type": "ping" })).await?;
        let mark = json!({ "name": format!("after {transport:?}") });
        subscribe(&mut cid, json!({ "presence": mark })).await?;
        let left = bob_id.as_str().context("an id")?;
        let mut list = BTreeMap::from([(left.to_owned(), json!({ "name": "bob 3" }))]);
        follow_until(&mut ann, &mut list, &mark).await?;
        assert!(!list.contains_key(left), "{list:?}");
        bob.close().await?;
    }
    Ok(())
}

/// Follows joins and leaves, each of which has to tell something new of the list, until somebody shows this data.
async fn follow_until(
    subscriber: &mut Subscriber,
    list: &mut BTreeMap<String, Value>,
    mark: &Value,
) -> Result<()> {
    loop {
        let Heard::Frame(frame) = subscriber.next().await? else {
            anyhow::bail!("no frame");
        };
        let member = &frame["member"];
        let id = member["id"].as_str().context("an id")?;
        if frame["type"] == "leave" {
            assert!(list.remove(id).is_some(), "{frame} of nobody");
            continue;
        }
        assert_eq!(frame["type"], "join", "{frame}");
        let before = list.insert(id.to_owned(), member["data"].clone());
        assert_ne!(before.as_ref(), Some(&member["data"]), "nothing new");
        if &member["data"] == mark {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_know_who_is_here_however_quickly_others_come_and_go() -> Result<()> {
    const WATCHERS: usize = 20;
    const ROUNDS: usize = 100;
    let settings = Settings::new().presence_grace(Duration::ZERO).workers(2);
    let broker = Broker::with(settings).await?;
    let mut watchers = Vec::new();
    for number in 0..WATCHERS {
        let nobody = Join::channels(&[]).sender(&format!("sender-key-of-watcher-{number}"));
        let mut watcher = broker.join(Transport::JsonWebSocket, &nobody).await?;
        let joined = subscribe(&mut watcher, json!({ "presence": number })).await?;
        let members = joined["members"].as_array().context("members")?;
        let of = |member: &Value| -> Result<(String, Value)> {
            let id = member["id"].as_str().context("an id")?.to_owned();
            Ok((id, member["data"].clone()))
        };
        let list = members.iter().map(of).collect::<Result<BTreeMap<_, _>>>()?;
        watchers.push((watcher, list));
    }
    let nobody = Join::channels(&[]).sender("sender-key-of-a-restless-one");
    let mut restless = broker.join(Transport::JsonWebSocket, &nobody).await?;
    for round in 0..ROUNDS {
        let show = |data: Value| json!({ "type": "subscribe", "channel": ROOM, "presence": data });
        let leave = json!({ "type": "unsubscribe", "channel": ROOM });
        let commands = match round % 3 {
            0 => json!([show(json!([round])), leave]),
            1 => json!([show(json!([round])), show(json!([round, "again"])), leave]),
            _ => json!([show(json!([round])), leave, show(json!([round])), leave]),
        };
        restless.envelope()?.send(&commands).await?;
    }
    subscribe(&mut restless, json!({ "presence": "here" })).await?;
    let mut lists = Vec::new();
    for (watcher, list) in &mut watchers {
        follow_until(watcher, list, &json!("here")).await?;
        lists.push(&*list);
    }
    let answer = broker.get(&["channels", ROOM, "presence"], &[]).await?;
    let members = answer["members"].as_array().context("members")?;
    assert_eq!(members.len(), WATCHERS + 1);
    for list in lists {
        let known = members.iter().filter(|member| {
            let id = member["id"].as_str().unwrap_or_default();
            list.get(id) == Some(&member["data"])
        });
        assert_eq!((known.count(), list.len()), (members.len(), members.len()));
    }
    Ok(())
}

#[tokio::test]
async fn the_joins_and_leaves_that_a_newcomer_is_told_fit_its_list_of_members() -> Result<()> {
    const ROUNDS: usize = 40;
    let grace = Duration::from_millis(20);
    let settings = Settings::new().presence_grace(grace).workers(1);
    let broker = Broker::with(settings).await?;
    let _stays = broker
        .join(
            Transport::JsonWebSocket,
            &member("stays", "sender-key-of-one-that-stays"),
        )
        .await?;
    for round in 0..ROUNDS {
        let key = |what: &str| format!("sender-key-of-{what}-{round}");
        let goes = broker
            .join(Transport::JsonWebSocket, &member("goes", &key("goes")))
            .await?;
        goes.kill();
        // Joins about when the other leaves.
        tokio::time::sleep(grace + Duration::from_micros(100 * (round % 60) as u64)).await;
        let mut comes = broker
            .join(
                Transport::JsonWebSocket,
                &Join::channels(&[]).sender(&key("comes")),
            )
            .await?;
        let reply = subscribe(&mut comes, json!({ "presence": { "name": "comes" } })).await?;
        let members = reply["members"].as_array().context("members")?;
        let mut here: Vec<_> = members.iter().map(|it| it["id"].clone()).collect();
        let mut later = broker
            .join(Transport::JsonWebSocket, &member("later", &key("later")))
            .await?;
        loop {
            let Heard::Frame(frame) = comes.next().await? else {
                anyhow::bail!("no frame");
            };
            let id = &frame["member"]["id"];
            if frame["type"] == "leave" {
                assert!(here.contains(id), "{frame} is not of {members:?}");
                here.retain(|known| known != id);
            } else {
                assert!(!here.contains(id), "{frame} is of {members:?}");
                here.push(id.clone());
            }
            if frame["member"]["data"]["name"] == "later" {
                break;
            }
        }
        later.envelope()?;
        later.kill();
        comes.kill();
    }
    Ok(())
}
