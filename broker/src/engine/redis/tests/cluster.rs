//! Channels on the parts of a cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use widecast_protocol::error::chain;

use super::cluster_nodes::ClusterNodes;
use super::faults::DOCUMENTED;
use super::node::{Told, until};
use super::router::Broker;
use super::server::RedisServer;
use super::stage::{PassingTime, settings};
use crate::engine::conformance::{announced, announcement, conformance_tests};
use crate::engine::redis::topology::Topology;
use crate::engine::{
    Announcements, Deliver, Lifecycle, RedisEngine, RedisSettings, RedisStartError,
};

#[tokio::test]
async fn a_part_does_what_every_engine_has_to_do() {
    let cluster = ClusterNodes::start(1).await;
    let (node, mut number) = (&cluster.nodes[0], 0);
    let mut part = async || {
        number += 1;
        let settings = RedisSettings {
            key_prefix: format!("test{number}"),
            ..cluster.settings()
        };
        let topology = Topology::of_part(&settings, &settings.cluster().unwrap(), 0);
        PassingTime::start(topology, settings.of_part(0), node.url()).await
    };
    conformance_tests!(together; part().await);
}

/// A broker whose channels are on all parts.
async fn try_start(settings: &RedisSettings) -> Result<Broker, RedisStartError> {
    Broker::try_start(async |deliver| RedisEngine::start_cluster(settings, deliver).await).await
}

async fn start(settings: &RedisSettings) -> Broker {
    try_start(settings).await.unwrap()
}

/// Why it does not start.
async fn refusal(settings: &RedisSettings) -> String {
    match try_start(settings).await {
        Ok(_) => panic!("expected an error"),
        Err(error) => chain(&error),
    }
}

#[tokio::test]
async fn brokers_with_a_cluster_hear_each_other_in_all_channels() {
    let cluster = ClusterNodes::start(2).await;
    let settings = cluster.settings();
    let by_the_other_node = RedisSettings {
        url: format!("redis+cluster://127.0.0.1:{}", cluster.nodes[1].port),
        ..settings.clone()
    };
    let one = start(&settings).await;
    let other = start(&by_the_other_node).await;
    let channels: Vec<_> = (0..64)
        .map(|number| format!("channel-{number:02}"))
        .collect();
    for channel in &channels {
        one.hear(channel).await;
        other.publish(channel, channel).await;
    }
    until("all to be heard", async || {
        let heard: BTreeSet<_> = one.told.texts().into_iter().collect();
        heard.into_iter().eq(channels.iter().cloned())
    })
    .await;
    for node in &cluster.nodes {
        let states: Vec<String> = node.ask(&["KEYS", "widecast:{*}:s:*"]).await;
        assert!((16..48).contains(&states.len()), "{states:?}");
    }
    assert_eq!(other.channels().await, channels);
    let kept = Duration::from_hours(1);
    let told = one.engine.announce(announcement("a", 1, "x"), kept).await;
    told.unwrap();
    until("the other to be told", async || {
        other.told.announced() == ["a"; 3]
    })
    .await;
    assert_eq!(announced(&other.engine).await, "a=x");
}

#[tokio::test]
async fn a_broker_may_be_started_before_its_cluster() {
    let mut cluster = ClusterNodes::start(1).await;
    cluster.nodes[0].kill();
    let broker = start(&cluster.settings()).await;
    assert!(broker.engine.health().await.is_err());
    cluster.nodes[0].start_again().await;
    until("the connections", async || {
        broker.ready().into_iter().all(|is_ready| is_ready)
    })
    .await;
    broker.publish("news", "a").await;
}

#[tokio::test]
async fn a_cluster_that_is_none_and_one_among_several_servers_are_clear_errors() {
    let server = RedisServer::start(&[]).await;
    let port = server.port;
    let told = refusal(&RedisSettings {
        url: format!("redis+cluster://127.0.0.1:{port}"),
        ..settings(&server)
    })
    .await;
    let expected = format!("name it as redis://127.0.0.1:{port}");
    assert!(told.contains(&expected), "{told}");
    let told = refusal(&RedisSettings {
        url: "redis+cluster://127.0.0.1/3".to_owned(),
        ..settings(&server)
    })
    .await;
    assert!(told.contains("the database 0 alone"), "{told}");
    let deliver: Arc<dyn Deliver> = Arc::new(Told::default());
    let urls = [server.url(), "redis+cluster://127.0.0.1".to_owned()];
    let several = RedisEngine::start_several(&settings(&server), &urls, &deliver).await;
    assert!(matches!(
        several.err(),
        Some(RedisStartError::ClusterAmongSeveral)
    ));
}

#[tokio::test]
async fn what_a_user_needs_for_a_cluster_is_what_the_documentation_says() {
    const FOR_CLUSTERS: &str =
        "+ssubscribe +sunsubscribe +spublish +pubsub|shardnumsub +cluster|slots";
    let scaling = include_str!("../../../../../docs/scaling.md");
    assert!(scaling.contains(FOR_CLUSTERS));
    let cluster = ClusterNodes::start(1).await;
    let node = &cluster.nodes[0];
    let with = RedisSettings {
        url: format!("redis+cluster://broker:secret@127.0.0.1:{}", node.port),
        ..cluster.settings()
    };
    let wrong = refusal(&with).await;
    assert!(
        wrong.contains("refuses the user or the password"),
        "{wrong}"
    );
    let mut rights = vec!["ACL", "SETUSER", "broker", "reset", "on", ">secret"];
    rights.extend(["~widecast:*", "&widecast:*"]);
    rights.extend(DOCUMENTED.split_whitespace());
    rights.extend(FOR_CLUSTERS.split_whitespace());
    // Those that they stand for are not needed.
    rights.extend(["-subscribe", "-unsubscribe", "-publish", "-pubsub|numsub"]);
    for (lacks, told) in [
        ("-spublish", "SPUBLISH"),
        ("-ssubscribe", "ssubscribe"),
        ("-pubsub|shardnumsub", "shardnumsub"),
        ("-cluster|slots", "slots"),
    ] {
        let mut rights = rights.clone();
        rights.push(lacks);
        node.ask::<()>(&rights).await;
        let error = refusal(&with).await;
        assert!(
            error.contains("may not do what is needed"),
            "{lacks}: {error}"
        );
        assert!(error.contains(told), "{lacks}: {error}");
    }
    node.ask::<()>(&rights).await;
    let broker = start(&with).await;
    broker.hear("news").await;
    broker.publish("news", "a").await;
    assert_eq!(broker.told.texts(), ["a"]);
}
