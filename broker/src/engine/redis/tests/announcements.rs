//! What nodes tell one another.

use std::time::{Duration, Instant};

use super::node::{Node, until};
use super::server::RedisServer;
use super::stage::settings;
use crate::engine::conformance::{announced, announcement};
use crate::engine::{Announcement, Announcements, RedisSettings};

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
async fn those_who_hear_it_know_it_even_if_the_server_is_full() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let (one, other) = (node(&server).await, node(&server).await);
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let announced_while_full = announcement("a", 1, "x");
    let answer = one.engine.announce(announced_while_full, HOUR).await;
    assert!(answer.is_err(), "it is not kept");
    until("the other node to hear it", async || {
        other.told.announced() == ["a"]
    })
    .await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(announced(&other.engine).await, "");
}

#[tokio::test]
async fn what_has_ended_keeps_no_older_version_from_being_told() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (node(&server).await, node(&server).await);
    // It ends before the rest, so that the server keeps it until somebody looks.
    announce(&one, "b", HOUR).await;
    let newer = announcement("a", 2, "newer");
    let short = Duration::from_millis(1);
    one.engine.announce(newer, short).await.unwrap();
    until("it to end", async || {
        let now: Vec<u64> = server.ask(&["TIME"]).await;
        let (from, till) = ("-inf", (now[0] * 1000 + now[1] / 1000).to_string());
        let ended = ["ZCOUNT", "widecast:{announcements}:ends", from, &till];
        server.ask::<u8>(&ended).await == 1
    })
    .await;
    announce(&one, "a", HOUR).await;
    until("the other node to hear it again", async || {
        other.told.announced() == ["b", "a", "a"]
    })
    .await;
}

#[tokio::test]
async fn a_moment_is_the_same_for_all_nodes_and_for_those_that_read_it_later() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (node(&server).await, node(&server).await);
    let given = Instant::now().checked_sub(HOUR).unwrap();
    let announced = Announcement {
        given,
        ..announcement("a", 1, "x")
    };
    one.engine.announce(announced, HOUR).await.unwrap();
    until("the other node to hear it", async || {
        other.told.announced() == ["a"]
    })
    .await;
    let mut read = other.told.moments();
    let later = node(&server).await;
    for engine in [&other.engine, &later.engine] {
        let kept = engine.announced().await.unwrap();
        read.extend(kept.iter().map(|kept| kept.given));
    }
    assert_eq!(read.len(), 3);
    // As exact as the clock of the server could be read.
    assert!(
        read.iter()
            .all(|read| (given..given + HOUR / 2).contains(read))
    );
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
