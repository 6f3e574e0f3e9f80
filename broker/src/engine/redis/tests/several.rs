//! Several servers that share the channels.

use std::sync::Arc;
use std::time::Duration;

use super::node::{Node, Told, until};
use super::router::Broker;
use super::server::RedisServer;
use super::stage::settings;
use crate::engine::conformance::{name, publication};
use crate::engine::redis::placement::Servers;
use crate::engine::{Lifecycle, MessageLog, RedisEngine, RedisSettings, RedisStartError};
use widecast_protocol::error::chain;

fn quick(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        timeout: Duration::from_secs(2),
        lease: Duration::from_secs(2),
        ..settings(server)
    }
}

async fn try_start(servers: &[&RedisServer]) -> Result<Broker, RedisStartError> {
    let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
    let settings = quick(servers[0]);
    Broker::try_start(async |deliver| RedisEngine::start_several(&settings, &urls, deliver).await)
        .await
}

async fn start(servers: &[&RedisServer]) -> Broker {
    try_start(servers).await.unwrap()
}

/// A channel on each of the servers.
fn channel_of_each(servers: &[&RedisServer]) -> Vec<String> {
    let names = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port));
    let placement = Servers::new(names.collect());
    let of = |index| {
        let mut channels = (0..).map(|number| format!("channel-{number}"));
        channels
            .find(|channel| placement.index(&name(channel)) == index)
            .unwrap()
    };
    (0..servers.len()).map(of).collect()
}

#[tokio::test]
async fn brokers_agree_in_whatever_order_they_name_the_servers() {
    let (a, b) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let (one, other) = (start(&[&a, &b]).await, start(&[&b, &a]).await);
    let channels: Vec<_> = (0..32)
        .map(|number| format!("channel-{number:02}"))
        .collect();
    for channel in &channels {
        one.hear(channel).await;
        other.publish(channel, channel).await;
    }
    until("all to be heard", async || {
        one.told.texts().len() == channels.len()
    })
    .await;
    for server in [&a, &b] {
        let states: Vec<String> = server.ask(&["KEYS", "widecast:s:*"]).await;
        assert!((4..28).contains(&states.len()), "{states:?}");
    }
    assert_eq!(other.channels().await, channels);
}

#[tokio::test]
async fn a_server_that_is_killed_concerns_its_own_channels_alone() {
    let (mut a, b) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let broker = start(&[&a, &b]).await;
    let [of_a, of_b] = &*channel_of_each(&[&a, &b]) else {
        unreachable!()
    };
    for channel in [of_a, of_b] {
        broker.hear(channel).await;
        broker.publish(channel, "before").await;
    }
    a.kill();
    until("the loss to be noticed", async || {
        broker.ready() == [false, true]
    })
    .await;
    let refused = broker.engine.publish(publication(of_a, "lost")).await;
    assert!(refused.is_err());
    broker.publish(of_b, "meanwhile").await;
    assert_eq!(broker.told.texts(), ["before", "before", "meanwhile"]);
    assert!(
        broker.engine.health().await.is_ok(),
        "others would have it no better"
    );
    a.start_again().await;
    until("the connection", async || broker.ready() == [true, true]).await;
    broker.publish(of_a, "after").await;
    assert_eq!(
        broker.told.texts(),
        ["before", "before", "meanwhile", "after"]
    );
    assert_eq!(broker.told.lost(), [of_a.as_str()]);
}

#[tokio::test]
async fn brokers_that_disagree_about_the_servers_are_refused() {
    let (a, b) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let _running = start(&[&a, &b]).await;
    let Err(error) = try_start(&[&a]).await else {
        panic!("expected an error");
    };
    let error = chain(&error);
    assert!(error.contains("all brokers need the same"), "{error}");
    let told = Arc::new(Told::default());
    let single = RedisEngine::start(quick(&b), told).await.unwrap_err();
    assert!(
        matches!(single, RedisStartError::Disagreement { .. }),
        "{single}"
    );
    let Err(twice) = try_start(&[&a, &b, &a]).await else {
        panic!("expected an error");
    };
    assert!(twice.to_string().contains("twice"), "{twice}");
}

#[tokio::test]
async fn a_broker_that_comes_to_disagree_is_not_heard_any_more() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(quick(&server)).await;
    server
        .ask::<()>(&["SET", "widecast:servers", "others"])
        .await;
    until("the other to be noticed", async || !node.is_healthy().await).await;
    server.ask::<()>(&["DEL", "widecast:servers"]).await;
    until("the connection", async || node.is_healthy().await).await;
}

#[tokio::test]
async fn a_channel_that_may_have_been_elsewhere_meanwhile_begins_anew() {
    let (a, b) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let channel = channel_of_each(&[&a, &b])[0].clone();
    let alone = Node::start_with(quick(&a)).await;
    let cursor = alone.publish(&channel, "1").await;
    drop(alone);
    // The lease of the broker that has ended has run out.
    let run_out = async || a.ask::<u64>(&["EXISTS", "widecast:servers"]).await == 0;
    until("the lease to run out", run_out).await;
    let together = start(&[&a, &b]).await;
    assert_eq!(
        together.texts_after(&channel, cursor).await,
        None,
        "a told gap"
    );
}
