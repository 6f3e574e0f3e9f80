//! Who is here, when the server loses a part of that, or its clock is set back.

use std::time::Duration;

use super::node::{Node, until};
use super::server::RedisServer;
use super::stage::settings;
use crate::engine::RedisSettings;
use crate::engine::conformance::name;

fn short_lease(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        lease: Duration::from_secs(2),
        presence_grace: Duration::from_millis(500),
        ..settings(server)
    }
}

/// Two nodes, with ann at the first and bob at the second.
async fn with_ann_and_bob(server: &RedisServer) -> [Node; 2] {
    let settings = short_lease(server);
    let nodes = [
        Node::start_with_passing_time(settings.clone()).await,
        Node::start_with_passing_time(settings).await,
    ];
    for (node, (connection, id)) in nodes.iter().zip([(1, "ann"), (2, "bob")]) {
        node.hear("room").await;
        node.enter(connection, id).await;
    }
    for node in &nodes {
        let shared = &node.engine.shared;
        until("the list to be read", async || {
            shared.listening.newest_change(&name("room")) > Some(0)
        })
        .await;
    }
    nodes
}

async fn until_here(nodes: &[&Node], expected: &[&str]) {
    for node in nodes {
        until(&format!("{expected:?} to be listed"), async || {
            node.members().await == expected
        })
        .await;
    }
}

fn key(node: &Node, kind: &str) -> String {
    match kind {
        "c" => format!("widecast:c{}:{{room}}", node.engine.shared.node),
        "node" => format!("widecast:node:{}", node.engine.shared.node),
        kind => format!("widecast:{kind}:{{room}}"),
    }
}

#[tokio::test]
async fn whatever_key_of_the_members_vanishes_who_is_here_is_listed_again_and_who_goes_leaves() {
    for kind in ["i", "d", "n", "c", "s", "node"] {
        let server = RedisServer::start(&[]).await;
        let [one, other] = with_ann_and_bob(&server).await;
        assert_eq!(server.ask::<u64>(&["DEL", &key(&one, kind)]).await, 1);
        until_here(&[&one, &other], &["ann", "bob"]).await;
        one.enter(3, "kim").await;
        until_here(&[&one, &other], &["ann", "bob", "kim"]).await;
        one.exit(1).await;
        until_here(&[&one, &other], &["bob", "kim"]).await;
        other.exit(2).await;
        until_here(&[&one, &other], &["kim"]).await;
        let told = ["+ann", "+bob", "+kim", "-ann", "-bob"];
        until("all to be told", async || one.told.changes() == told).await;
    }
}

#[tokio::test]
async fn who_has_gone_leaves_although_the_server_has_forgotten_since_when() {
    let server = RedisServer::start(&[]).await;
    let [one, other] = with_ann_and_bob(&server).await;
    one.exit(1).await;
    assert_eq!(server.ask::<u64>(&["DEL", &key(&one, "g")]).await, 1);
    until_here(&[&one, &other], &["bob"]).await;
}

#[tokio::test]
async fn the_members_of_a_node_that_ends_leave_although_the_server_has_forgotten_what_it_had() {
    for kind in ["c", "node", "n"] {
        let server = RedisServer::start(&[]).await;
        let [one, other] = with_ann_and_bob(&server).await;
        let deleted = key(&one, kind);
        server.ask::<u64>(&["DEL", &deleted]).await;
        if kind == "c" {
            // It ends before it can mend that.
            drop(one);
        } else {
            until("it to be mended", async || {
                server.ask::<u64>(&["EXISTS", &deleted]).await == 1
            })
            .await;
            drop(one);
        }
        until_here(&[&other], &["bob"]).await;
        until("ann to leave", async || {
            other.told.changes() == ["+bob", "-ann"]
        })
        .await;
    }
}

#[tokio::test]
async fn who_comes_and_goes_is_told_by_a_server_whose_clock_is_behind() {
    let mut server = RedisServer::start(&[]).await;
    server
        .ask::<()>(&["SET", "widecast:passed", "120000"])
        .await;
    let nodes = with_ann_and_bob(&server).await;
    let [one, other] = &nodes;
    server.kill();
    server.start_again().await;
    let names_both = async || {
        // Nobody has told this server of what has passed: its clock is two minutes behind that of the one before.
        let ids: Vec<String> = server
            .ask(&["ZRANGE", "widecast:i:{room}", "0", "-1"])
            .await;
        ids == ["ann", "bob"]
    };
    until("both to be here again", names_both).await;
    other.enter(3, "kim").await;
    other.exit(2).await;
    until_here(&[one, other], &["ann", "kim"]).await;
    until("kim and bob to be told", async || {
        one.told.changes() == ["+ann", "+bob", "+kim", "-bob"]
    })
    .await;
}

#[tokio::test]
async fn leases_and_times_of_grace_end_although_the_clock_is_set_back() {
    let server = RedisServer::start(&[]).await;
    let pass = async |time: &str| {
        server.ask::<()>(&["SET", "widecast:passed", time]).await;
    };
    pass("600000").await;
    let [one, other] = with_ann_and_bob(&server).await;
    other.enter(3, "kim").await;
    until_here(&[&one, &other], &["ann", "bob", "kim"]).await;
    // As when a replica takes over whose clock is behind.
    other.exit(3).await;
    pass("0").await;
    drop(one);
    until_here(&[&other], &["bob"]).await;
}
