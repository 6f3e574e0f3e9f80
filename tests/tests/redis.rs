//! Several brokers with one Redis server are one broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use widecast_tests::broker::Signal;
use widecast_tests::settings::DEFAULT;
use widecast_tests::{
    Broker, Heard, Join, RedisServer, Settings, Subscriber, Transport, Witness, cli,
    over_every_transport, publish_until, until_more_are_published, while_publishing,
};

over_every_transport!(hears_what_is_published_at_the_other, resumes_at_the_other);

struct Two {
    redis: RedisServer,
    one: Broker,
    other: Broker,
}

fn settings(redis: &RedisServer) -> Settings {
    redis.settings().script_access(DEFAULT)
}

impl Two {
    async fn start() -> Result<Self> {
        let redis = RedisServer::start(&[]).await?;
        let one = Broker::with(settings(&redis)).await?;
        let other = Broker::with(settings(&redis)).await?;
        Ok(Self { redis, one, other })
    }
}

/// The plain transports show a bare number as text.
fn numbered(number: u64) -> Value {
    json!({ "number": number })
}

async fn hears_what_is_published_at_the_other(transport: Transport) -> Result<()> {
    let two = Two::start().await?;
    let mut here = two.one.join(transport, &Join::channel("news")).await?;
    let mut there = two.other.join(transport, &Join::channel("news")).await?;
    let (one, other) = (two.one.publisher(), two.other.publisher());
    for number in 0..10 {
        let publisher = if number % 2 == 0 { &one } else { &other };
        let answer = publisher.publish("news", numbered(number)).await?;
        assert_eq!(answer.offset, number + 1);
    }
    let all: Vec<Value> = (0..10).map(numbered).collect();
    assert_eq!(here.data(10).await?, all);
    assert_eq!(there.data(10).await?, all);
    Ok(())
}

async fn resumes_at_the_other(transport: Transport) -> Result<()> {
    let two = Two::start().await?;
    let cursor = two.one.end_of("news").await?;
    for number in 0..5 {
        two.one
            .publisher()
            .publish("news", numbered(number))
            .await?;
    }
    let join = Join::channel("news").from(cursor);
    let mut resumed = two.other.join(transport, &join).await?;
    two.one.publisher().publish("news", numbered(5)).await?;
    let all: Vec<Value> = (0..6).map(numbered).collect();
    assert_eq!(resumed.data(6).await?, all);
    Ok(())
}

#[tokio::test]
async fn a_sender_does_not_hear_itself_at_the_other() -> Result<()> {
    let two = Two::start().await?;
    let join = Join::channel("news").sender("sender-key-of-mine");
    let mut mine = two.other.join(Transport::JsonWebSocket, &join).await?;
    let publisher = two.one.publisher();
    let as_me = publisher.clone().sender("sender-key-of-mine");
    as_me.publish("news", "mine").await?;
    publisher.publish("news", "theirs").await?;
    assert_eq!(mine.message().await?.data, "theirs");
    Ok(())
}

async fn members(broker: &Broker) -> Result<Vec<Value>> {
    let answer = broker.get(&["channels", "room", "presence"], &[]).await?;
    let members = answer["members"].as_array();
    let members = members.with_context(|| answer.to_string())?;
    Ok(members.iter().map(|one| one["id"].clone()).collect())
}

/// The type of the next frame, and the id of its member.
async fn told(subscriber: &mut Subscriber) -> Result<(String, Value)> {
    match subscriber.next().await? {
        Heard::Frame(frame) => Ok((
            frame["type"].as_str().unwrap_or_default().to_owned(),
            frame["member"]["id"].clone(),
        )),
        other => bail!("heard {other:?} instead of a frame"),
    }
}

#[tokio::test]
async fn members_of_both_are_one_list_and_those_of_a_killed_broker_leave() -> Result<()> {
    let redis = RedisServer::start(&[]).await?;
    let settings = settings(&redis)
        .key("engine.default.lease_ms", "2000")
        .presence_grace(Duration::from_millis(100));
    let one = Broker::with(settings.clone()).await?;
    let other = Broker::with(settings.clone()).await?;
    let join = |key: &str| {
        let join = Join::channel("room").presence(json!({ "here": true }));
        join.sender(key)
    };
    let transport = Transport::JsonWebSocket;
    let mut ann = one.join(transport, &join("sender-key-of-ann")).await?;
    let bob = other.join(transport, &join("sender-key-of-bob")).await?;
    // Ann is at both brokers: one member, by one name.
    let ann_again = other.join(transport, &join("sender-key-of-ann")).await?;
    let (mut kind, mut id) = told(&mut ann).await?;
    let here = members(&one).await?;
    assert_eq!(here.len(), 2);
    assert_eq!(here, members(&other).await?);
    if here.iter().all(|one| *one != id) || kind != "join" {
        bail!("heard {kind} of {id}");
    }
    drop(other);
    while kind != "leave" {
        (kind, id) = told(&mut ann).await?;
    }
    let left = members(&one).await?;
    assert_eq!(left.len(), 1);
    assert_ne!(left[0], id);
    drop((bob, ann_again));
    Ok(())
}

#[tokio::test]
async fn without_the_server_publishers_are_told_so_and_the_broker_is_not_ready() -> Result<()> {
    let mut redis = RedisServer::start(&[]).await?;
    let settings = settings(&redis).key("engine.default.timeout_ms", "2000");
    let broker = Broker::with(settings).await?;
    let mut subscriber = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    redis.kill().await?;
    broker.until_readiness(503).await?;
    let request = broker
        .http()
        .post(format!("{}/channels/news/messages", broker.base()));
    let refused = request.body("x").send().await?;
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = serde_json::from_slice(&refused.bytes().await?)?;
    assert_eq!(body["code"], "engine_unavailable", "{body}");
    redis.start_again().await?;
    broker.until_readiness(200).await?;
    broker.publisher().publish("news", "after").await?;
    // The server has lost everything: that is told.
    match subscriber.next().await? {
        Heard::Gap { .. } => {}
        other => bail!("heard {other:?} instead of a gap"),
    }
    loop {
        if let Heard::Message(message) = subscriber.next().await? {
            assert_eq!(message.data, "after");
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_used_ends_the_start_with_a_clear_error() -> Result<()> {
    let redis = RedisServer::start(&["--requirepass", "right"]).await?;
    let url = redis.url().replace("//", "//:wrong-secret@");
    for (url, expected) in [
        (&*url, "refuses the user or the password"),
        ("wrong-secret", "the URL: it has no scheme"),
    ] {
        let url = format!("engine.default.url={url}");
        let kind = "engine.default.kind=redis";
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--set",
            kind,
            "--set",
            &url,
        ];
        let run = cli::run(&arguments).await?;
        assert_ne!(run.status, 0);
        assert!(run.errors.contains(expected), "{}", run.errors);
        assert!(!run.errors.contains("wrong-secret"), "{}", run.errors);
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_added_to_a_busy_pair_hears_everything_from_then_on() -> Result<()> {
    let two = Two::start().await?;
    let over = AtomicBool::new(false);
    let adding = async {
        let more = || until_more_are_published(&two.one);
        more().await?;
        let added = Broker::with(settings(&two.redis)).await?;
        let witness = Witness::join(&added, "news").await?;
        more().await?;
        added
            .publisher()
            .publish("news", "from the new one")
            .await?;
        more().await?;
        over.store(true, Ordering::Relaxed);
        Ok((added, witness))
    };
    let (_, _, (_added, witness)) = tokio::try_join!(
        publish_until(&two.one, "news", "one", &over),
        publish_until(&two.other, "news", "other", &over),
        adding,
    )?;
    two.one.publisher().publish("news", "the end").await?;
    // It fails if anything is missing between what it hears.
    let witness = witness.listen_until("the end").await?;
    assert_eq!(witness.gaps, 0);
    assert!(witness.heard.len() > 100);
    for name in ["one", "other", "from the new one"] {
        let from = |text: &Value| text.as_str().is_some_and(|text| text.starts_with(name));
        assert!(witness.heard.iter().any(from), "nothing of {name}");
    }
    Ok(())
}

/// How the server fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Dies,
    Hangs,
}

#[tokio::test]
async fn what_is_acknowledged_is_heard_once_or_told_as_a_gap_whatever_the_server_does() -> Result<()>
{
    let mut redis = RedisServer::start(&[]).await?;
    let settings = settings(&redis)
        .key("engine.default.timeout_ms", "2000")
        .key("engine.default.lease_ms", "2000");
    let brokers = [
        Broker::with(settings.clone()).await?,
        Broker::with(settings).await?,
    ];
    let [one, other] = &brokers;
    let witnesses = vec![
        Witness::join(one, "news").await?,
        Witness::join(other, "news").await?,
    ];
    let happening = async {
        for fault in [Fault::Dies, Fault::Hangs, Fault::Dies] {
            until_more_are_published(one).await?;
            match fault {
                Fault::Dies => {
                    redis.kill().await?;
                    redis.start_again().await?;
                }
                Fault::Hangs => {
                    redis.signal(Signal::Stop).await?;
                    for broker in &brokers {
                        broker.until_readiness(503).await?;
                    }
                    redis.signal(Signal::Continue).await?;
                }
            }
            for broker in &brokers {
                broker.until_readiness(200).await?;
            }
        }
        Ok(())
    };
    let publishers = [(one, "news"), (other, "news")];
    for witness in while_publishing(&publishers, witnesses, happening).await? {
        assert!(witness.gaps >= 1, "the server has lost everything twice");
    }
    Ok(())
}
