//! Channels whose messages are only for those who hear them when they come.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use widecast_protocol::{IdempotencyKey, Offset};

use super::node::{Node, until};
use super::server::RedisServer;
use super::stage::{pointers, settings};
use crate::engine::conformance::{name, publication};
use crate::engine::redis::link::Repeat;
use crate::engine::{Directory, MessageLog, Publication, RedisSettings};

fn ephemeral(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        ephemeral: pointers(),
        ..settings(server)
    }
}

async fn two() -> (RedisServer, [Node; 2]) {
    let server = RedisServer::start(&[]).await;
    let nodes = [
        Node::start_with(ephemeral(&server)).await,
        Node::start_with(ephemeral(&server)).await,
    ];
    (server, nodes)
}

const CHANNEL: &str = "pointers:page";

#[tokio::test]
async fn all_nodes_hear_the_same_order_and_nothing_is_kept() {
    let (server, nodes) = two().await;
    for node in &nodes {
        node.hear(CHANNEL).await;
    }
    let start = nodes[0].position(CHANNEL).await;
    let publishing = (0..100).map(|number| {
        let node = &nodes[number % 2];
        async move {
            node.try_publish(CHANNEL, &number.to_string())
                .await
                .unwrap()
        }
    });
    let published = futures_util::future::join_all(publishing).await;
    assert!(published.iter().all(|published| published.subscribers == 1));
    for node in &nodes {
        until("all messages", async || node.told.texts().len() == 100).await;
    }
    assert_eq!(nodes[0].told.texts(), nodes[1].told.texts());
    let end = nodes[0].position(CHANNEL).await;
    assert_eq!((end.epoch, end.offset), (start.epoch, Offset(100)));
    let mut offsets: Vec<_> = published
        .iter()
        .step_by(2)
        .map(|one| one.position.offset)
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), 50, "each has a place of its own");
    assert_eq!(nodes[0].texts_after(CHANNEL, end).await, Some(vec![]));
    assert_eq!(nodes[0].texts_after(CHANNEL, start).await, None);
    let keys: Vec<String> = server.ask(&["KEYS", "widecast:?:{pointers*"]).await;
    assert_eq!(keys, Vec::<String>::new());
}

#[tokio::test]
async fn where_a_broker_keeps_what_another_does_not_nothing_that_is_kept_is_missed() {
    let server = RedisServer::start(&[]).await;
    let passing_on = Node::start_with(ephemeral(&server)).await;
    let keeping = Node::start(&server).await;
    for node in [&passing_on, &keeping] {
        node.hear(CHANNEL).await;
    }
    let begin = passing_on.position(CHANNEL).await;
    let first = keeping.publish(CHANNEL, "kept").await;
    passing_on.publish(CHANNEL, "not kept").await;
    let second = keeping.publish(CHANNEL, "kept, too").await;
    assert_eq!(second.offset.0, first.offset.0 + 1);
    assert_eq!(keeping.told.texts(), ["kept", "kept, too"]);
    assert_eq!(keeping.told.positions(), [first, second]);
    // The other hears all of it, in places of its own.
    until("all messages", async || {
        passing_on.told.texts() == ["kept", "not kept", "kept, too"]
    })
    .await;
    let places = passing_on.told.positions();
    assert!(places.iter().all(|place| place.epoch == begin.epoch));
    let offsets: Vec<_> = places.iter().map(|place| place.offset.0).collect();
    assert_eq!(offsets, [1, 2, 3]);
}

#[tokio::test]
async fn a_repetition_is_not_told_again_and_others_are() {
    let (_server, [one, other]) = two().await;
    other.hear(CHANNEL).await;
    let keyed = Publication {
        idempotency_key: IdempotencyKey::parse("key").ok(),
        ..publication(CHANNEL, "once")
    };
    assert!(!one.engine.publish(keyed.clone()).await.unwrap().duplicate);
    assert!(one.engine.publish(keyed.clone()).await.unwrap().duplicate);
    assert!(other.engine.publish(keyed).await.unwrap().duplicate);
    other.publish(CHANNEL, "the end").await;
    assert_eq!(other.told.texts(), ["once", "the end"]);
}

#[tokio::test]
async fn after_a_loss_of_the_connection_it_goes_on_and_no_gap_is_told() {
    let (server, [one, other]) = two().await;
    for channel in [CHANNEL, "news"] {
        one.hear(channel).await;
    }
    one.publish(CHANNEL, "before").await;
    for kind in ["pubsub", "normal"] {
        server.ask::<u64>(&["CLIENT", "KILL", "TYPE", kind]).await;
    }
    until("the connections", async || {
        other.is_healthy().await && one.is_healthy().await
    })
    .await;
    let until_heard = async || {
        other.try_publish(CHANNEL, "after").await.is_ok()
            && one.told.texts().contains(&"after".to_owned())
    };
    until("what is published afterwards", until_heard).await;
    assert!(!one.told.lost().contains(&CHANNEL.to_owned()));
    let end = one.position(CHANNEL).await;
    let texts = one.told.texts().len() as u64;
    assert_eq!(end.offset, Offset(texts), "the places go on without holes");
}

#[tokio::test]
async fn a_connection_that_is_given_up_is_not_heard_beside_the_next_one() {
    let server = RedisServer::start(&[]).await;
    // As if the order to end the connection that is given up did not arrive: somebody goes on waiting for an answer on it.
    let rights = ["ACL", "SETUSER", "default", "-client", "+client|id"];
    server.ask::<()>(&rights).await;
    let quick = RedisSettings {
        timeout: Duration::from_secs(2),
        lease: Duration::from_secs(4),
        ..ephemeral(&server)
    };
    let node = Node::start_with(quick).await;
    let other = Node::start_with(ephemeral(&server)).await;
    node.hear(CHANNEL).await;
    let link = &node.engine.shared.link;
    // It is not answered, nor is anything behind it on the connection for commands. The other connection is well.
    let ask = || {
        link.ask::<redis::Value>(Repeat::No, |_| {
            let mut command = redis::cmd("BLPOP");
            command.arg(&["nothing", "0"]);
            command
        })
    };
    let asking = async {
        let mut asked = FuturesUnordered::new();
        let mut interval = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                // Somebody is asking at any time, and has just begun when the connection is given up.
                _ = interval.tick() => if node.reconnects() == 0 {
                    asked.push(ask());
                },
                Some(_) = asked.next() => {}
            }
        }
    };
    let publishing = async {
        let mut published = Vec::new();
        let mut publish = async || {
            let text = published.len().to_string();
            other.publish(CHANNEL, &text).await;
            published.push(text);
        };
        while node.reconnects() == 0 || !node.engine.shared.is_ready.load(Ordering::Acquire) {
            publish().await;
        }
        for _ in 0..50 {
            publish().await;
        }
        published
    };
    let published = tokio::select! {
        () = asking => unreachable!("it goes on"),
        published = publishing => published,
    };
    let heard = || {
        let texts = node.told.texts().into_iter();
        texts
            .map(|text| text.parse::<usize>().unwrap())
            .collect::<Vec<_>>()
    };
    until("the newest", async || {
        heard().contains(&(published.len() - 1))
    })
    .await;
    let heard = heard();
    assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
}

#[tokio::test]
async fn it_is_listed_while_somebody_hears_it_or_is_there() {
    let (_server, [one, other]) = two().await;
    let info = async || other.engine.channel_info(&name(CHANNEL)).await.unwrap();
    one.publish(CHANNEL, "nobody hears this").await;
    assert_eq!(info().await, None);
    one.hear(CHANNEL).await;
    let found = info().await.unwrap();
    assert_eq!((found.history_messages, found.members), (0, 0));
}
