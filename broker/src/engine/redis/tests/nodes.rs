//! Several nodes are one.

use std::time::Duration;

use widecast_protocol::{Member, Payload};

use super::node::{Node, until};
use super::server::RedisServer;
use super::stage::settings;
use crate::engine::conformance::{EVERYBODY, name};
use crate::engine::{ConnectionId, MemberStore, PresenceEntry, RedisSettings};

#[tokio::test]
async fn what_is_published_at_one_is_heard_at_the_other_in_the_same_order() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (Node::start(&server).await, Node::start(&server).await);
    one.hear("news").await;
    other.hear("news").await;
    let from_one = async {
        for number in 0..100 {
            one.publish("news", &format!("one {number}")).await;
        }
    };
    let from_other = async {
        for number in 0..100 {
            other.publish("news", &format!("other {number}")).await;
        }
    };
    futures_util::future::join(from_one, from_other).await;
    until("both to have heard all", async || {
        one.told.texts().len() == 200 && other.told.texts().len() == 200
    })
    .await;
    assert_eq!(one.told.texts(), other.told.texts());
    assert_eq!(one.told.lost(), other.told.lost());
}

#[tokio::test]
async fn a_reader_goes_on_at_another_node() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (Node::start(&server).await, Node::start(&server).await);
    one.publish("news", "a").await;
    let position = one.position("news").await;
    one.publish("news", "b").await;
    assert_eq!(
        other.texts_after("news", position).await,
        Some(vec!["b".to_owned()])
    );
}

#[tokio::test]
async fn other_prefixes_and_databases_are_other_worlds() {
    let server = RedisServer::start(&[]).await;
    let one = Node::start(&server).await;
    let of_prefix = Node::start_with(RedisSettings {
        key_prefix: "other".to_owned(),
        ..settings(&server)
    })
    .await;
    let of_database = Node::start_with(RedisSettings {
        url: format!("{}/1", server.url()),
        ..settings(&server)
    })
    .await;
    let nodes = [&one, &of_prefix, &of_database];
    for node in nodes {
        node.hear("news").await;
    }
    for (node, text) in nodes.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(node.publish("news", text).await.offset.0, 1);
    }
    for (node, text) in nodes.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(node.told.texts(), [text]);
    }
}

#[tokio::test]
async fn what_nobody_hears_any_more_is_not_delivered() {
    use crate::engine::Interest;
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    node.hear("news").await;
    node.publish("news", "a").await;
    node.engine.uninterested(&name("news"));
    node.engine.shared.listening.settled().await;
    assert_eq!(node.try_publish("news", "b").await.unwrap().subscribers, 0);
    // The same connection hears this one, after what it would have heard of the other.
    node.hear("sport").await;
    node.publish("sport", "c").await;
    node.hear("news").await;
    node.publish("news", "d").await;
    assert_eq!(node.told.texts(), ["a", "c", "d"]);
}

#[tokio::test]
async fn nobody_leaves_because_no_lease_could_be_renewed() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let settings = RedisSettings {
        lease: Duration::from_secs(1),
        presence_grace: Duration::from_millis(10),
        ..settings(&server)
    };
    let one = Node::start_with(settings.clone()).await;
    let other = Node::start_with(settings).await;
    for (node, connection, id) in [(&one, 1, "ann"), (&other, 2, "bob")] {
        node.hear("room").await;
        node.enter(connection, id).await;
    }
    let until_running = async |count: u8| {
        until(&format!("{count} leases"), async || {
            let now: Vec<u64> = server.ask(&["TIME"]).await;
            let now = (now[0] * 1000 + now[1] / 1000).to_string();
            let running = ["ZCOUNT", "widecast:nodes", &now, "+inf"];
            server.ask::<u8>(&running).await == count
        })
        .await;
    };
    until_running(2).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    until_running(0).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    until_running(2).await;
    one.enter(3, "eve").await;
    for node in [&one, &other] {
        let seen = async || node.told.changes().contains(&"+eve".to_owned());
        until("eve to come", seen).await;
        assert!(
            node.told
                .changes()
                .iter()
                .all(|change| !change.starts_with('-'))
        );
    }
}

#[tokio::test]
async fn a_member_with_connections_on_two_nodes_joins_and_leaves_once() {
    let server = RedisServer::start(&[]).await;
    let settings = RedisSettings {
        presence_grace: Duration::from_millis(50),
        ..settings(&server)
    };
    let one = Node::start_with(settings.clone()).await;
    let other = Node::start_with(settings).await;
    one.hear("room").await;
    other.hear("room").await;
    one.enter(1, "ann").await;
    // Connections are named by each node for itself.
    other.enter(1, "ann").await;
    other.enter(2, "bob").await;
    one.exit(1).await;
    other.exit(2).await;
    until("bob to leave", async || {
        one.told.changes() == ["+ann", "+bob", "-bob"]
    })
    .await;
    other.exit(1).await;
    for node in [&one, &other] {
        until("ann to leave", async || {
            node.told.changes() == ["+ann", "+bob", "-bob", "-ann"]
        })
        .await;
    }
}

/// A node whose lease runs out soon.
fn short_lease(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        lease: Duration::from_secs(2),
        presence_grace: Duration::from_millis(100),
        ..settings(server)
    }
}

#[tokio::test]
async fn the_members_of_a_node_that_is_gone_leave_once() {
    let server = RedisServer::start(&[]).await;
    let gone = Node::start_with(short_lease(&server)).await;
    let witnesses = [
        Node::start_with(short_lease(&server)).await,
        Node::start_with(short_lease(&server)).await,
    ];
    for witness in &witnesses {
        witness.hear("room").await;
    }
    gone.enter(1, "ann").await;
    gone.enter(2, "bob").await;
    witnesses[0].enter(1, "bob").await;
    drop(gone);
    for witness in &witnesses {
        until("ann to leave", async || {
            witness.told.changes() == ["+ann", "+bob", "-ann"]
        })
        .await;
    }
    let room = name("room");
    let list = witnesses[1].engine.members(&room, &EVERYBODY).await;
    let list = list.unwrap().list.members;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].id, "bob");
}

#[tokio::test]
async fn a_node_that_was_only_slow_has_its_members_again() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(short_lease(&server)).await;
    node.hear("room").await;
    node.enter(1, "ann").await;
    // As if another node had swept it.
    let swept = ["widecast:i:{room}", "widecast:d:{room}", "widecast:nodes"];
    for key in swept {
        server.ask::<()>(&["DEL", key]).await;
    }
    let room = name("room");
    until("ann to be here again", async || {
        let list = node.engine.members(&room, &EVERYBODY).await;
        list.unwrap().list.members.len() == 1
    })
    .await;
    // She was here all the time.
    assert_eq!(node.told.changes(), ["+ann"]);
}

#[tokio::test]
async fn when_the_server_has_forgotten_all_members_only_who_is_gone_leaves() {
    let server = RedisServer::start(&[]).await;
    let gone = Node::start_with(short_lease(&server)).await;
    let nodes = [
        Node::start_with(short_lease(&server)).await,
        Node::start_with(short_lease(&server)).await,
    ];
    for (node, (connection, id)) in nodes.iter().zip([(1, "ann"), (2, "bob")]) {
        node.hear("room").await;
        node.enter(connection, id).await;
    }
    gone.enter(3, "zoe").await;
    let zoe_is_here = async |node: &Node| node.told.changes().contains(&"+zoe".to_owned());
    for node in &nodes {
        until("zoe to be here", async || zoe_is_here(node).await).await;
        let shared = &node.engine.shared;
        until("the list to be read", async || {
            shared.listening.newest_change(&name("room")) > Some(0)
        })
        .await;
    }
    drop(gone);
    server.ask::<()>(&["FLUSHALL"]).await;
    for (node, told) in nodes.iter().zip([
        vec!["+ann", "+bob", "+zoe", "-zoe"],
        vec!["+bob", "+zoe", "-zoe"],
    ]) {
        until("zoe to leave", async || {
            node.told.changes().contains(&"-zoe".to_owned())
        })
        .await;
        assert_eq!(node.told.changes(), told);
    }
}

#[tokio::test]
async fn a_list_is_of_after_all_that_was_told_even_if_the_server_has_evicted_the_number() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (Node::start(&server).await, Node::start(&server).await);
    let changes = async || {
        let list = other.engine.members(&name("room"), &EVERYBODY).await;
        list.unwrap().changes
    };
    one.enter(1, "ann").await;
    let told = changes().await;
    server.ask::<()>(&["DEL", "widecast:s:{room}"]).await;
    let listed_again = changes().await;
    assert!(told <= listed_again, "{told} and {listed_again}");
    one.enter(2, "bob").await;
    let told = changes().await;
    assert!(listed_again < told, "{listed_again} and {told}");
}

/// The members of the room, with what they show.
async fn listed(node: &Node) -> Vec<(String, String)> {
    let list = node.engine.members(&name("room"), &EVERYBODY).await;
    let members = list.unwrap().list.members.into_iter();
    members
        .map(|member| (member.id, format!("{:?}", member.data)))
        .collect()
}

#[tokio::test]
async fn a_node_that_comes_back_while_it_is_swept_has_its_members_again() {
    let server = RedisServer::start(&[]).await;
    let nodes = [
        Node::start_with(short_lease(&server)).await,
        Node::start_with(short_lease(&server)).await,
    ];
    let [slow, other] = &nodes;
    slow.hear("room").await;
    slow.enter(1, "ann").await;
    let (room, shared) = (name("room"), &slow.engine.shared);
    let before = listed(other).await;
    // As if it had hung. Whoever sweeps it goes before all is done.
    let late = ["ZADD", "widecast:nodes", "1", &shared.node];
    server.ask::<u64>(&late).await;
    let sweep = async || other.engine.shared.look_at(&room, Some(&shared.node)).await;
    sweep().await.unwrap();
    shared.beat().await.unwrap();
    until("ann to be here again", async || {
        listed(other).await == before
    })
    .await;
    // Now it has its lease, and whoever is late with sweeping takes nobody away.
    sweep().await.unwrap();
    let connections = format!("widecast:c{}:{{room}}", shared.node);
    let ids: Vec<String> = server.ask(&["HMGET", &connections, "1"]).await;
    assert_eq!(ids, ["ann"]);
}

#[tokio::test]
async fn when_the_server_has_forgotten_a_member_it_shows_its_newest_data_again() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(short_lease(&server)).await;
    node.hear("room").await;
    for connection in 0..20 {
        node.enter_with(connection, "ann", &connection.to_string())
            .await;
    }
    let shared = &node.engine.shared;
    until("the list to be read", async || {
        shared.listening.newest_change(&name("room")) > Some(0)
    })
    .await;
    let before = listed(&node).await;
    server.ask::<()>(&["FLUSHALL"]).await;
    shared.beat().await.unwrap();
    let other = Node::start_with(short_lease(&server)).await;
    assert_eq!(listed(&other).await, before);
}

#[tokio::test]
async fn an_exit_that_cannot_be_told_keeps_no_other_from_being_told() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(short_lease(&server)).await;
    let shared = &node.engine.shared;
    let rooms: Vec<_> = (0..20)
        .map(|number| name(&format!("room-{number}")))
        .collect();
    let entry = PresenceEntry {
        connection: ConnectionId(1),
        member: Member {
            id: "ann".to_owned(),
            data: Payload::text("here"),
        },
    };
    for room in &rooms {
        node.engine.enter(room, entry.clone()).await.unwrap();
    }
    let spoilt = format!("widecast:c{}:{{{}}}", shared.node, rooms[0]);
    server.ask::<()>(&["SET", &spoilt, "no hash"]).await;
    for room in &rooms {
        shared.book.exit(room, entry.connection);
        shared.book.owe_exit(room, entry.connection);
    }
    // The node's own heartbeat may be about it.
    until("only that one to be owed", async || {
        let _ = shared.beat().await;
        shared.book.owed() == [(rooms[0].clone(), entry.connection)]
    })
    .await;
    for room in &rooms[1..] {
        let connections = format!("widecast:c{}:{{{room}}}", shared.node);
        assert_eq!(server.ask::<u64>(&["HEXISTS", &connections, "1"]).await, 0);
    }
}
