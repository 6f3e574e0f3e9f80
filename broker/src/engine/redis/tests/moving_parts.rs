//! Parts of a cluster that move from one node to another.

use std::time::Duration;

use widecast_protocol::IdempotencyKey;

use super::cluster_nodes::ClusterNodes;
use super::node::{Node, until};
use crate::engine::conformance::publication;
use crate::engine::redis::parts::{slot_of, tag_of};
use crate::engine::{MessageLog, Publication, RedisSettings};

/// A cluster, and the slot of the first part, which the first node has.
async fn first_part() -> (ClusterNodes, u16, RedisSettings) {
    let cluster = ClusterNodes::start(2).await;
    let settings = cluster.settings();
    (cluster, slot_of(&tag_of(0)), settings)
}

#[tokio::test]
async fn a_part_that_moves_to_another_node_is_a_told_gap() {
    let (cluster, slot, settings) = first_part().await;
    let (one, other) = (
        Node::start_part(&settings, 0).await,
        Node::start_part(&settings, 0).await,
    );
    for node in [&one, &other] {
        node.hear("news").await;
    }
    let before = one.publish("news", "before").await;
    cluster.move_slot(slot, 0, 1).await;
    for node in [&one, &other] {
        until("the move to be noticed", async || {
            node.told.lost() == ["news"]
        })
        .await;
    }
    let after = one.publish("news", "after").await;
    assert_ne!(before.epoch, after.epoch);
    assert_eq!(one.texts_after("news", before).await, None, "a told gap");
    until("the other to hear it", async || {
        other.told.texts() == ["before", "after"]
    })
    .await;
    assert_eq!(one.told.texts(), ["before", "after"]);
}

#[tokio::test]
async fn a_part_that_comes_back_with_data_of_an_earlier_time_begins_new_epochs() {
    let (cluster, slot, settings) = first_part().await;
    let node = Node::start_part(&settings, 0).await;
    node.hear("news").await;
    let cursor = node.publish("news", "1").await;
    let earlier = cluster.dump(0, slot).await;
    cluster.move_slot(slot, 0, 1).await;
    let elsewhere = node.publish("news", "2").await;
    // The second node goes on from what it had first: a replica took over that had heard no more.
    cluster.restore(1, slot, &earlier).await;
    cluster.move_slot(slot, 1, 0).await;
    node.publish("news", "3").await;
    // It is the process that "1" was published at: by its name alone nobody would have noticed that "2" is missing.
    for cursor in [cursor, elsewhere] {
        assert_eq!(node.texts_after("news", cursor).await, None, "a told gap");
    }
}

#[tokio::test]
async fn a_part_that_has_been_elsewhere_while_nobody_used_it_is_whole() {
    let (cluster, slot, settings) = first_part().await;
    let node = Node::start_part(&settings, 0).await;
    let start = node.position("news").await;
    node.publish("news", "1").await;
    drop(node);
    cluster.move_slot(slot, 0, 1).await;
    cluster.move_slot(slot, 1, 0).await;
    let node = Node::start_part(&settings, 0).await;
    node.publish("news", "2").await;
    let texts = node.texts_after("news", start).await;
    assert_eq!(texts.unwrap(), ["1", "2"], "no needless gap");
}

#[tokio::test]
async fn what_is_published_while_a_part_moves_waits() {
    let (cluster, slot, settings) = first_part().await;
    let node = Node::start_part(&settings, 0).await;
    let hasty = RedisSettings {
        timeout: Duration::from_millis(500),
        ..settings
    };
    let hasty = Node::start_part(&hasty, 0).await;
    node.publish("news", "before").await;
    cluster.begin_move(slot, 0, 1).await;
    // The key is new, so that the first node has only some of what is needed.
    let keyed = Publication {
        idempotency_key: IdempotencyKey::parse("key").ok(),
        ..publication("news", "meanwhile")
    };
    assert!(hasty.engine.publish(keyed.clone()).await.is_err());
    let moving = async {
        until("it to be told to try again", async || {
            let refused: String = cluster.nodes[0].ask(&["INFO", "errorstats"]).await;
            refused.contains("TRYAGAIN")
        })
        .await;
        cluster.end_move(slot, 0, 1).await;
    };
    let (published, ()) = tokio::join!(node.engine.publish(keyed), moving);
    let published = published.unwrap();
    assert!(!published.duplicate);
    assert_eq!(published.position.offset.0, 1, "in a new epoch");
    assert_eq!(node.publish("news", "after").await.offset.0, 2);
}
