//! A primary with replicas and the Sentinels that watch over them.

use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::node::{Node, Told, until};
use super::server::{RedisServer, free_port, program};
use super::stage::settings;
use crate::engine::conformance::{EVERYBODY, name, publication};
use crate::engine::{MemberStore, MessageLog, Publication, RedisEngine, RedisSettings};
use widecast_protocol::error::chain;
use widecast_protocol::{IdempotencyKey, Offset, Position};

/// A Sentinel on a free port, which ends with this.
struct Sentinel {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sentinel {
    fn start(primary: &RedisServer) -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("sentinel monitor main 127.0.0.1 {} 2", primary.port),
            "sentinel down-after-milliseconds main 500".to_owned(),
            "sentinel failover-timeout main 4000".to_owned(),
        ];
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let child = program()
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            _directory: directory,
        }
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async(&mut connection).await
    }

    /// Whether it knows the replica and the other Sentinels: without them there is no fail-over.
    async fn is_ready(&self) -> bool {
        let asked = self.ask(&["SENTINEL", "MASTER", "main"]).await;
        let state: std::collections::HashMap<String, String> = asked.unwrap_or_default();
        let has = |key: &str, number: &str| state.get(key).is_some_and(|found| found == number);
        has("num-slaves", "1") && has("num-other-sentinels", "2") && has("flags", "master")
    }
}

async fn replica_of(primary: &RedisServer) -> RedisServer {
    let port = primary.port.to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]).await;
    until("the replica to follow", async || follows(&replica).await).await;
    replica
}

async fn follows(replica: &RedisServer) -> bool {
    // A server that becomes a replica cuts its connections.
    let info = replica.try_ask(&["INFO", "replication"]).await;
    let info: Option<redis::InfoDict> = info.ok();
    let status: Option<String> = info.and_then(|info| info.get("master_link_status"));
    status.as_deref() == Some("up")
}

struct Watched {
    primary: RedisServer,
    _replica: RedisServer,
    sentinels: Vec<Sentinel>,
}

impl Watched {
    async fn start() -> Self {
        let primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await;
        let replica = replica_of(&primary).await;
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(&primary)).collect();
        for sentinel in &sentinels {
            until("the Sentinels to know each other", async || {
                sentinel.is_ready().await
            })
            .await;
        }
        Self {
            primary,
            _replica: replica,
            sentinels,
        }
    }

    fn settings(&self, name: &str) -> RedisSettings {
        let places: Vec<_> = self
            .sentinels
            .iter()
            .map(|one| format!("127.0.0.1:{}", one.port))
            .collect();
        RedisSettings {
            url: format!("redis+sentinel://{}/{name}", places.join(",")),
            timeout: Duration::from_secs(2),
            lease: Duration::from_secs(2),
            ..settings(&self.primary)
        }
    }
}

/// Servers and a node that uses them, and what it has published.
async fn watched() -> (Watched, Node, Position) {
    let watched = Watched::start().await;
    let node = Node::start_with(watched.settings("main")).await;
    node.hear("news").await;
    let before = node.publish("news", "before").await;
    (watched, node, before)
}

/// Expects that what was there before is told as a gap, and that the node goes on.
async fn assert_goes_on_elsewhere(node: &Node, before: Position) {
    let end = async || {
        let limits = crate::engine::HistoryLimits::default();
        let channel = crate::engine::conformance::name("news");
        node.engine.position(&channel, limits).await.ok()
    };
    until("another server to be used", async || {
        node.is_healthy().await && end().await.is_some_and(|end| end.epoch != before.epoch)
    })
    .await;
    assert_eq!(node.texts_after("news", before).await, None, "a told gap");
    assert_eq!(node.told.lost(), ["news"]);
    node.publish("news", "after").await;
    assert_eq!(node.told.texts(), ["before", "after"]);
}

#[tokio::test]
async fn a_replica_takes_over_from_a_primary_that_is_killed() {
    let (mut watched, node, before) = watched().await;
    watched.primary.kill();
    assert_goes_on_elsewhere(&node, before).await;
}

#[tokio::test]
async fn a_primary_that_hangs_is_left_and_one_sentinel_is_enough() {
    let (mut watched, node, before) = watched().await;
    watched.primary.signal("STOP");
    assert_goes_on_elsewhere(&node, before).await;
    // It is a replica when it wakes up, and nobody goes back to it.
    watched.primary.signal("CONT");
    until("it to follow", async || follows(&watched.primary).await).await;
    watched.sentinels.truncate(1);
    let other = Node::start_with(watched.settings("main")).await;
    other.publish("news", "from the other").await;
    until("it to be heard", async || node.told.texts().len() == 3).await;
}

#[tokio::test]
async fn a_fail_over_that_was_ordered_is_followed() {
    let (watched, node, before) = watched().await;
    watched.sentinels[0]
        .ask::<()>(&["SENTINEL", "FAILOVER", "main"])
        .await
        .unwrap();
    assert_goes_on_elsewhere(&node, before).await;
}

#[tokio::test]
async fn sentinels_that_do_not_know_the_primary_are_a_clear_error() {
    let watched = Watched::start().await;
    let told = std::sync::Arc::new(Told::default());
    let error = RedisEngine::start(watched.settings("other"), told)
        .await
        .unwrap_err();
    let error = chain(&error);
    assert!(
        error.contains("expected the Sentinels to know a primary of that name: other"),
        "{error}"
    );
}

#[tokio::test]
async fn a_primary_that_was_a_replica_meanwhile_begins_new_epochs() {
    let one = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await;
    let other = replica_of(&one).await;
    let node = Node::start_with(RedisSettings {
        lease: Duration::from_secs(2),
        ..settings(&one)
    })
    .await;
    node.publish("news", "1").await;
    let offset = async || {
        let offset: Option<String> = other.ask(&["HGET", "widecast:s:{news}", "o"]).await;
        offset.as_deref() == Some("1")
    };
    until("the replica to have it", offset).await;
    // The other is made the primary: what the first takes from now on is lost.
    other.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    node.publish("news", "2").await;
    let cursor = node.publish("news", "3").await;
    go_back(&one, &other, &node).await;
    for text in ["2 anew", "3 anew", "4 anew"] {
        node.publish("news", text).await;
    }
    // It is the same process: by its name alone nobody would have noticed that "2 anew" and "3 anew" are missing.
    assert_eq!(node.texts_after("news", cursor).await, None, "a told gap");
}

/// A server takes what another one has, and is the primary again.
async fn go_back(one: &RedisServer, other: &RedisServer, node: &Node) {
    one.ask::<()>(&["REPLICAOF", "127.0.0.1", &other.port.to_string()])
        .await;
    until("the first to follow", async || follows(one).await).await;
    one.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    until("the change to be noticed", async || {
        let is_back = node.is_healthy().await;
        is_back && node.reconnects() > 0
    })
    .await;
}

#[tokio::test]
async fn a_primary_that_lacks_the_newest_members_is_told_who_is_here() {
    let one = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await;
    let other = replica_of(&one).await;
    let node = Node::start_with(RedisSettings {
        lease: Duration::from_secs(2),
        presence_grace: Duration::from_millis(50),
        ..settings(&one)
    })
    .await;
    node.enter(1, "bob").await;
    let shared = &node.engine.shared;
    let [.., connections] = shared.keys.roster(&name("room"), &shared.node);
    until("the replica to have it", async || {
        other.ask::<u64>(&["HEXISTS", &connections, "1"]).await == 1
    })
    .await;
    // It has the lease of the node, and nothing of what follows.
    other.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    node.exit(1).await;
    node.enter(2, "ann").await;
    go_back(&one, &other, &node).await;
    until("Ann alone to be here", async || {
        let room = name("room");
        let list = node.engine.members(&room, &EVERYBODY).await;
        let members = list.map(|members| members.list.members);
        let ids = members.unwrap_or_default().into_iter();
        ids.map(|member| member.id).eq(["ann"])
    })
    .await;
}

#[tokio::test]
async fn a_publication_counts_when_the_replicas_have_it() {
    let primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await;
    let replica = replica_of(&primary).await;
    let node_that_waits_for = async |replicas_wait| {
        Node::start_with(RedisSettings {
            replicas: 1,
            replicas_wait,
            ..settings(&primary)
        })
        .await
    };
    // On a busy machine a replica may take long.
    let patient = node_that_waits_for(Duration::from_secs(20)).await;
    for number in 1..=20 {
        patient.publish("news", "x").await;
        let offset: String = replica.ask(&["HGET", "widecast:s:{news}", "o"]).await;
        assert_eq!(offset, number.to_string());
    }
    let node = node_that_waits_for(Duration::from_millis(300)).await;
    replica.signal("STOP");
    let keyed = Publication {
        idempotency_key: IdempotencyKey::parse("key").ok(),
        ..publication("news", "y")
    };
    // Several at once: each of them is told so.
    let publications = (0..8).map(|_| node.engine.publish(keyed.clone()));
    for refused in futures_util::future::join_all(publications).await {
        let error = refused.unwrap_err();
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert!(reason.contains("too few replicas"), "{reason}");
    }
    replica.signal("CONT");
    let again = async || node.engine.publish(keyed.clone()).await.ok();
    until("the replica to have it", async || {
        again()
            .await
            .is_some_and(|published| published.position.offset == Offset(21))
    })
    .await;
}
