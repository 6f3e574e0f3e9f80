//! What nodes tell one another.

use std::time::Duration;

use super::node::{Node, until};
use super::server::RedisServer;
use super::stage::settings;
use crate::engine::conformance::{announced, announcement};
use crate::engine::{Announcements, RedisSettings};

const HOUR: Duration = Duration::from_hours(1);

async fn announce(node: &Node, key: &str, keep_for: Duration) {
    let one = announcement(key, 1, "x");
    node.engine.announce(one, keep_for).await.unwrap();
}

/// A node that hears announcements.
async fn node(server: &RedisServer) -> Node {
    let node = Node::start(server).await;
    until("the node to hear", async || node.is_healthy().await).await;
    node
}

#[tokio::test]
async fn all_other_nodes_hear_it_and_those_that_come_later_read_it() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (node(&server).await, node(&server).await);
    announce(&one, "kept", HOUR).await;
    announce(&one, "not kept", Duration::ZERO).await;
    until("the other node to hear both", async || {
        other.told.announced() == ["kept", "not kept"]
    })
    .await;
    assert_eq!(one.told.announced(), Vec::<String>::new());
    let later = node(&server).await;
    assert!(later.told.announcements_lost() >= 1);
    assert_eq!(announced(&later.engine).await, "kept=x");
}

#[tokio::test]
async fn a_newer_one_that_is_kept_keeps_an_older_one_from_being_told() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (node(&server).await, node(&server).await);
    let newer = announcement("a", 2, "newer");
    one.engine.announce(newer, HOUR).await.unwrap();
    announce(&one, "a", HOUR).await;
    announce(&one, "b", HOUR).await;
    until("the other node to hear the last", async || {
        other.told.announced().contains(&"b".to_owned())
    })
    .await;
    assert_eq!(other.told.announced(), ["a", "b"]);
    assert_eq!(announced(&other.engine).await, "a=newer b=x");
}

#[tokio::test]
async fn nodes_that_do_not_share_a_prefix_hear_nothing_of_each_other() {
    let server = RedisServer::start(&[]).await;
    let of_prefix = Node::start_with(RedisSettings {
        key_prefix: "other".to_owned(),
        ..settings(&server)
    })
    .await;
    let (one, other) = (node(&server).await, node(&server).await);
    announce(&one, "a", HOUR).await;
    until("the other node to hear it", async || {
        other.told.announced() == ["a"]
    })
    .await;
    assert_eq!(of_prefix.told.announced(), Vec::<String>::new());
    assert_eq!(announced(&of_prefix.engine).await, "");
}

#[tokio::test]
async fn a_new_connection_and_a_server_that_lost_everything_have_all_read_again() {
    let mut server = RedisServer::start(&[]).await;
    let node = Node::start_with(RedisSettings {
        lease: Duration::from_secs(1),
        ..settings(&server)
    })
    .await;
    until("the node to hear", async || node.is_healthy().await).await;
    let before = node.told.announcements_lost();
    server.kill();
    server.start_again().await;
    until("the new connection", async || {
        node.told.announcements_lost() > before && node.is_healthy().await
    })
    .await;
    // It has its lease again.
    let nodes = ["EXISTS", "widecast:nodes"];
    until("a lease", async || server.ask::<u8>(&nodes).await == 1).await;
    let before = node.told.announcements_lost();
    server.ask::<()>(&["FLUSHALL"]).await;
    until("the loss to be noticed", async || {
        node.told.announcements_lost() > before
    })
    .await;
}
