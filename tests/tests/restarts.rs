//! What a single broker forgets when it is started again, and how its channels move to another engine.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use widecast_tests::broker::Signal;
use widecast_tests::settings::DEFAULT;
use widecast_tests::{Broker, Guarded, Heard, Join, RedisServer, Settings, Subscriber, Transport};

fn memory() -> Settings {
    Settings::new().key("engine.default.kind", "\"memory\"")
}

fn disk() -> Settings {
    Settings::new().disk()
}

async fn publish_with_a_key(broker: &Broker) -> Result<Value> {
    let url = format!("{}/channels/news/messages", broker.base());
    let request = broker.http().post(url).header("idempotency-key", "order-1");
    Ok(request.json(&"paid").send().await?.json().await?)
}

#[tokio::test]
async fn a_repeated_publication_is_not_known_after_a_restart_with_memory_alone() -> Result<()> {
    let mut broker = Broker::with(memory()).await?;
    let first = publish_with_a_key(&broker).await?;
    let second = publish_with_a_key(&broker).await?;
    assert_eq!(second["duplicate"], true, "{second}");
    broker.restart().await?;
    let third = publish_with_a_key(&broker).await?;
    assert_eq!(third["duplicate"], false, "{third}");
    assert_ne!(third["epoch"], first["epoch"], "{third}");
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_counts_again_after_a_restart_with_memory_alone() -> Result<()> {
    let add = |settings: Settings| settings.key("engine.default.kind", "\"memory\"");
    let mut guarded = Guarded::with(add).await?;
    let claims = ["--sub", "7", "--jti", "a"];
    let token = guarded
        .token_with(&claims, &["news=subscribe"], 600)
        .await?;
    // Later than any token here ends: the year 2100.
    let revocation = json!({ "jti": "a", "expires_at": 4_102_444_800_u64 });
    guarded.operate("/v1/revocations", &revocation).await?;
    let listen = async |guarded: &Guarded| {
        let path = "/channels/news/poll";
        guarded.ask(Method::GET, path, Some(&token)).await
    };
    assert_eq!(listen(&guarded).await?.status, 401);
    guarded.broker.restart().await?;
    assert_eq!(listen(&guarded).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn after_a_restart_the_members_are_those_who_have_come_back() -> Result<()> {
    for engine in [memory(), disk()] {
        let mut broker = Broker::with(engine).await?;
        let listed = async |broker: &Broker| {
            let answer = broker.get(&["channels", "room", "presence"], &[]).await?;
            let members = answer["members"].as_array().context("members")?;
            anyhow::Ok(
                members
                    .iter()
                    .map(|it| it["data"].clone())
                    .collect::<Vec<_>>(),
            )
        };
        let member = |name: &str| Join::channel("room").presence(name.into());
        let websocket = Transport::JsonWebSocket;
        let _ann = broker.join(websocket, &member("ann")).await?;
        let _bob = broker.join(websocket, &member("bob")).await?;
        assert_eq!(listed(&broker).await?.len(), 2);
        broker.restart().await?;
        assert_eq!(listed(&broker).await?, Vec::<Value>::new());
        let _ann = broker.join(websocket, &member("ann")).await?;
        assert_eq!(listed(&broker).await?, ["ann"]);
    }
    Ok(())
}

/// Hears that messages were lost; the plain WebSocket, which has no word for it, is closed instead, and joins anew.
async fn hears_a_gap(broker: &Broker, subscriber: Subscriber) -> Result<Subscriber> {
    let mut subscriber = subscriber;
    let transport = subscriber.transport();
    match subscriber.next().await? {
        Heard::Gap { .. } => Ok(subscriber),
        Heard::Closed {
            code: Some(4410), ..
        } if transport == Transport::RawWebSocket => {
            broker.join(transport, &Join::channel("news")).await
        }
        other => anyhow::bail!("{transport:?} heard {other:?} instead of a gap"),
    }
}

#[tokio::test]
async fn a_broker_that_moves_to_redis_tells_who_resumes_a_gap_and_goes_on() -> Result<()> {
    for engine in [memory(), disk()] {
        let redis = RedisServer::start(&[]).await?;
        let mut broker = Broker::with(engine.script_access(DEFAULT)).await?;
        let mut cursors = Vec::new();
        let mut subscribers = Vec::new();
        for transport in Transport::ALL {
            let joined = broker.join(transport, &Join::channel("news")).await?;
            subscribers.push(joined);
        }
        let before = broker.publisher().publish("news", "before").await?;
        publish_with_a_key(&broker).await?;
        for mut subscriber in subscribers {
            let heard = subscriber.message().await?;
            assert_eq!(heard.data, json!("before"), "{:?}", subscriber.transport());
            let cursor = subscriber.cursor().unwrap_or_else(|| before.cursor());
            cursors.push((subscriber.transport(), cursor));
            subscriber.kill();
        }

        broker.signal(Signal::Terminate).await?;
        assert_eq!(broker.ended().await?.code(), Some(0));
        broker.reconfigure(&redis.settings().script_access(DEFAULT))?;
        broker.restart().await?;
        broker.until_readiness(200).await?;

        let mut resumed = Vec::new();
        for (transport, cursor) in cursors {
            let join = Join::channel("news").from(cursor);
            let joined = broker.join(transport, &join).await?;
            resumed.push(hears_a_gap(&broker, joined).await?);
        }
        let again = publish_with_a_key(&broker).await?;
        assert_eq!(again["duplicate"], false, "{again}");
        assert_ne!(again["epoch"], before.epoch.as_str(), "{again}");
        for subscriber in &mut resumed {
            let heard = subscriber.message().await?;
            assert_eq!(heard.data, json!("paid"), "{:?}", subscriber.transport());
        }
    }
    Ok(())
}

/// Why an engine that channels move to has to be empty.
#[tokio::test]
async fn a_channel_that_goes_back_to_files_of_earlier_goes_on_in_its_old_epoch() -> Result<()> {
    let redis = RedisServer::start(&[]).await?;
    let mut broker = Broker::with(disk()).await?;
    broker.publisher().publish("news", "before").await?;
    let cursor = broker.end_of("news").await?;
    for (engine, text) in [(redis.settings(), "meanwhile"), (disk(), "after")] {
        broker.reconfigure(&engine)?;
        broker.restart().await?;
        broker.until_readiness(200).await?;
        broker.publisher().publish("news", text).await?;
    }
    let join = Join::channel("news").from(cursor);
    let mut resumed = broker.join(Transport::JsonWebSocket, &join).await?;
    // No gap is told, although what was published meanwhile is missing.
    assert_eq!(resumed.message().await?.data, json!("after"));
    Ok(())
}

#[tokio::test]
async fn clients_of_an_old_group_go_to_the_new_one_while_publishers_publish_at_both() -> Result<()>
{
    let redis = RedisServer::start(&[]).await?;
    let window = Duration::from_millis(100);
    let leave = |settings: Settings| settings.shutdown(window, Duration::from_secs(5));
    let mut old = Broker::with(leave(memory())).await?;
    let new = Broker::with(redis.settings()).await?;
    let websocket = Transport::JsonWebSocket;
    let mut subscriber = old.join(websocket, &Join::channel("news")).await?;
    for broker in [&old, &new] {
        broker.publisher().publish("news", "at both").await?;
    }
    assert_eq!(subscriber.message().await?.data, json!("at both"));
    old.signal(Signal::Terminate).await?;
    let Heard::Frame(goodbye) = subscriber.next().await? else {
        anyhow::bail!("no goodbye");
    };
    assert_eq!(goodbye["reconnect"], true, "{goodbye}");
    assert_eq!(old.ended().await?.code(), Some(0));
    new.publisher().publish("news", "meanwhile").await?;

    let cursor = subscriber.cursor().context("a cursor")?;
    let join = Join::channel("news").from(cursor);
    let mut resumed = new.join(websocket, &join).await?;
    assert!(matches!(resumed.next().await?, Heard::Gap { .. }));
    // A page that is told so finds all that was published at both, and since, at the new one.
    let page = json!({ "type": "history", "channel": "news" });
    let page = resumed.envelope()?.command(page).await?;
    let found = page["messages"].as_array().context("messages")?;
    let found: Vec<_> = found.iter().map(|message| &message["data"]).collect();
    assert_eq!(found, ["at both", "meanwhile"]);
    new.publisher().publish("news", "after").await?;
    assert_eq!(resumed.message().await?.data, json!("after"));
    Ok(())
}
