//! Brokers with a Redis Cluster are one broker, also while a primary fails and while slots move.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use widecast_tests::settings::DEFAULT;
use widecast_tests::{
    Broker, Heard, Join, RedisCluster, Settings, Subscriber, Transport, Witness, eventually,
    publish_until,
};

/// How many parts a broker has on a cluster.
const PARTS: f64 = 32.0;

fn settings(cluster: &RedisCluster) -> Settings {
    cluster
        .settings()
        .script_access(DEFAULT)
        .presence_grace(Duration::from_millis(100))
        .key("engine.default.timeout_ms", "1000")
        .key("engine.default.lease_ms", "2000")
}

/// Two brokers with one cluster.
async fn two(cluster: &RedisCluster) -> Result<(Broker, Broker)> {
    let one = Broker::with(settings(cluster)).await?;
    let other = Broker::with(settings(cluster)).await?;
    for broker in [&one, &other] {
        until_all_parts_are_heard(broker).await?;
    }
    Ok((one, other))
}

async fn until_all_parts_are_heard(broker: &Broker) -> Result<()> {
    eventually("all parts are heard", async || {
        let ready = broker.metrics().await?;
        Ok(ready.sum(&["widecast_engine_server_ready{"]) >= PARTS)
    })
    .await
}

/// How often a broker could publish; it is asked until that many more were acknowledged.
async fn until_more_are_published(broker: &Broker) -> Result<()> {
    let published = async || {
        let metrics = broker.metrics().await?;
        anyhow::Ok(metrics.value("widecast_messages_published_total"))
    };
    let before = published().await?;
    eventually("some are published", async || {
        Ok(published().await? >= before + 50.0)
    })
    .await
}

fn assert_heard_once(witness: &Witness, acknowledged: &[String]) {
    for text in acknowledged {
        let times = witness.heard.iter().filter(|heard| *heard == text).count();
        assert!(times <= 1, "{text:?} was heard {times} times");
        // A witness fails when it lacks something and was not told of a gap.
        assert!(times == 1 || witness.gaps > 0, "{text:?} was not heard");
    }
}

/// A channel whose place on the cluster is such a one: the number of its primary, and its slot.
async fn channel_at(
    broker: &Broker,
    cluster: &RedisCluster,
    fits: impl Fn(usize, usize) -> bool,
) -> Result<String> {
    for number in 0.. {
        let channel = format!("channel-{number}");
        broker.publisher().publish(&channel, "here").await?;
        let (primary, slot) = cluster.place_of(&channel).await?;
        if fits(primary, slot) {
            return Ok(channel);
        }
    }
    unreachable!("the numbers have no end")
}

async fn members(broker: &Broker) -> Result<usize> {
    let answer = broker.get(&["channels", "room", "presence"], &[]).await?;
    let members = answer["members"].as_array();
    Ok(members.with_context(|| answer.to_string())?.len())
}

/// The next frame of this type.
async fn told(subscriber: &mut Subscriber, kind: &str) -> Result<Value> {
    loop {
        match subscriber.next().await? {
            Heard::Frame(frame) if frame["type"] == kind => return Ok(frame),
            Heard::Closed { code, reason } => bail!("closed: {code:?} {reason}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn two_brokers_with_a_cluster_are_one() -> Result<()> {
    let cluster = RedisCluster::start().await?;
    let (one, other) = two(&cluster).await?;
    // Channels of several parts.
    for number in 0..8 {
        let channel = format!("news-{number}");
        let join = Join::channel(&channel);
        let mut there = other.join(Transport::JsonWebSocket, &join).await?;
        let cursor = other.end_of(&channel).await?;
        one.publisher().publish(&channel, "live").await?;
        assert_eq!(there.message().await?.data, "live");
        drop(there);
        let resumed = join.from(cursor);
        let mut resumed = one.join(Transport::EnvelopeSse, &resumed).await?;
        assert_eq!(resumed.message().await?.data, "live");
    }
    let join = |key: &str| {
        let join = Join::channel("room").presence(json!({ "here": true }));
        join.sender(key)
    };
    let transport = Transport::JsonWebSocket;
    let mut ann = one.join(transport, &join("sender-key-of-ann")).await?;
    let mut bob = other.join(transport, &join("sender-key-of-bob")).await?;
    told(&mut ann, "join").await?;
    assert_eq!((members(&one).await?, members(&other).await?), (2, 2));
    // What an operator does at one is done at the other.
    eventually("they know of each other", async || {
        let nodes = one.get(&["v1", "nodes"], &[]).await?;
        Ok(nodes["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.len() == 2))
    })
    .await?;
    let session = bob.envelope()?.welcome()["session"].clone();
    let disconnect = json!({ "session": session, "reason": "no more" }).to_string();
    let answer = one
        .post("/v1/disconnect", "application/json", disconnect.into())
        .await?;
    assert_eq!(answer.body["other_nodes"], 1, "{answer:?}");
    let goodbye = told(&mut bob, "goodbye").await?;
    assert_eq!(goodbye["code"], "kicked", "{goodbye}");
    told(&mut ann, "leave").await?;
    assert_eq!(members(&other).await?, 1);
    Ok(())
}

#[tokio::test]
async fn while_a_primary_is_down_the_channels_of_the_others_go_on() -> Result<()> {
    let mut cluster = RedisCluster::start().await?;
    let (one, other) = two(&cluster).await?;
    one.publisher().publish("news", "here").await?;
    let (killed, _) = cluster.place_of("news").await?;
    let of_another = channel_at(&one, &cluster, |primary, _| primary != killed).await?;
    let (down, up) = (
        Witness::join(&other, "news").await?,
        Witness::join(&other, &of_another).await?,
    );
    let over = AtomicBool::new(false);
    let failing = async {
        until_more_are_published(&one).await?;
        cluster.kill(killed).await?;
        let refused = async || {
            let answer = one.post("/channels/news/messages", "text/plain", "x".into());
            anyhow::Ok(answer.await?.status == 503)
        };
        eventually("its channels are down", refused).await?;
        until_more_are_published(&one).await?;
        assert_eq!(one.readiness().await?, 200, "it serves the other channels");
        for broker in [&one, &other] {
            until_all_parts_are_heard(broker).await?;
        }
        until_more_are_published(&one).await?;
        over.store(true, Ordering::Relaxed);
        Ok(())
    };
    let publishing = async {
        let both = tokio::try_join!(
            publish_until(&one, "news", "down", &over),
            publish_until(&one, &of_another, "up", &over),
        )?;
        for channel in ["news", &of_another] {
            one.publisher().publish(channel, "the end").await?;
        }
        Ok(both)
    };
    let (both, down, up, ()) = tokio::try_join!(
        publishing,
        down.listen_until("the end"),
        up.listen_until("the end"),
        failing,
    )?;
    assert_eq!(up.gaps, 0);
    assert_heard_once(&up, &both.1);
    assert!(down.gaps > 0, "the replica may lack what was heard");
    assert_heard_once(&down, &both.0);
    Ok(())
}

#[tokio::test]
async fn an_ordered_fail_over_and_slots_that_move_under_load_are_told_gaps() -> Result<()> {
    let cluster = RedisCluster::start().await?;
    let (one, other) = two(&cluster).await?;
    // Few slots stand before it.
    let channel = channel_at(&one, &cluster, |_, slot| slot < 512).await?;
    let (first, slot) = cluster.place_of(&channel).await?;
    let (here, there) = (
        Witness::join(&one, &channel).await?,
        Witness::join(&other, &channel).await?,
    );
    let over = AtomicBool::new(false);
    let until_all_is_well = async || {
        for broker in [&one, &other] {
            until_all_parts_are_heard(broker).await?;
            until_more_are_published(broker).await?;
        }
        anyhow::Ok(())
    };
    let changing = async {
        until_all_is_well().await?;
        let next = (first + 1) % 3;
        let moved = cluster.move_slots(slot + 1, first, next).await;
        moved.context("slots move")?;
        until_all_is_well().await?;
        assert_eq!(cluster.place_of(&channel).await?.0, next);
        cluster.fail_over(next).await?;
        until_all_is_well().await?;
        over.store(true, Ordering::Relaxed);
        Ok(())
    };
    let publishing = async {
        let both = tokio::try_join!(
            publish_until(&one, &channel, "one", &over),
            publish_until(&other, &channel, "other", &over),
        )?;
        one.publisher().publish(&channel, "the end").await?;
        Ok(both)
    };
    let (both, here, there, ()) = tokio::try_join!(
        publishing,
        here.listen_until("the end"),
        there.listen_until("the end"),
        changing,
    )?;
    for witness in [here, there] {
        assert!(witness.gaps >= 2, "{} gaps", witness.gaps);
        assert_heard_once(&witness, &both.0);
        assert_heard_once(&witness, &both.1);
    }
    Ok(())
}
