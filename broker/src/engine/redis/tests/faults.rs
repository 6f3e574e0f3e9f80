//! What goes wrong on the way to the server, and in it.

use std::time::Duration;

use super::node::{Node, until};
use super::server::{RedisServer, try_ask};
use super::stage::{pointers, settings};
use crate::engine::conformance::{ALL, EVERYBODY, name, publication};
use crate::engine::{
    ChannelQuery, Directory, EngineError, HistoryLimits, Lifecycle, MemberStore, MessageLog,
    Publication, RedisEngine, RedisSettings,
};
use widecast_protocol::error::chain;
use widecast_protocol::{Code, IdempotencyKey, Offset, Position};

fn quick(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        timeout: Duration::from_secs(2),
        lease: Duration::from_secs(4),
        ..settings(server)
    }
}

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, EngineError>) {
    let error = answer.unwrap_err();
    assert_eq!(Code::from(error), Code::EngineUnavailable);
}

#[tokio::test]
async fn after_a_restart_with_all_its_data_nothing_is_missing_where_that_is_trusted() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let node = Node::start_with(RedisSettings {
        trust_persistence: true,
        ..quick(&server)
    })
    .await;
    node.hear("still").await;
    node.hear("news").await;
    let start = node.position("news").await;
    node.publish("news", "a").await;
    server.kill();
    until("the loss to be noticed", async || !node.is_healthy().await).await;
    server.start_again().await;
    until("the connection", async || node.is_healthy().await).await;
    assert_eq!(
        node.told.lost(),
        [""; 0],
        "nothing has moved, and nothing is read"
    );
    node.publish("news", "b").await;
    assert_eq!(node.told.texts(), ["a", "b"]);
    let texts = node.texts_after("news", start).await;
    assert_eq!(texts, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(node.reconnects(), 1);
}

#[tokio::test]
async fn what_was_published_while_nothing_was_heard_is_told_as_lost() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = (Node::start(&server).await, Node::start(&server).await);
    one.hear("still").await;
    one.hear("moves").await;
    one.publish("still", "a").await;
    let position = one.publish("moves", "b").await;
    for round in 1..=5 {
        // Its connections are cut while the other publishes.
        let killed = server.ask::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let (_, _) = futures_util::future::join(killed, other.publish("moves", "c")).await;
        until("the connection", async || {
            one.reconnects() >= round && one.is_healthy().await
        })
        .await;
    }
    let since = one.texts_after("moves", position).await.unwrap();
    assert_eq!(since.len(), 5);
    let heard = one.told.texts().iter().filter(|text| *text == "c").count();
    let lost = one.told.lost();
    assert!(lost.iter().all(|channel| channel == "moves"), "{lost:?}");
    assert!(heard == 5 || !lost.is_empty());
}

#[tokio::test]
async fn without_a_server_publishers_are_told_and_subscribers_go_on_later() {
    let mut server = RedisServer::start(&[]).await;
    let node = Node::start_with(quick(&server)).await;
    node.hear("news").await;
    let before = node.publish("news", "a").await;
    server.kill();
    until("the loss to be noticed", async || !node.is_healthy().await).await;
    assert_unavailable(node.try_publish("news", "b").await);
    server.start_again().await;
    until("the connection", async || node.is_healthy().await).await;
    assert_eq!(node.told.lost(), ["news"]);
    // All is gone with the server: that is told.
    assert_eq!(node.texts_after("news", before).await, None);
    node.publish("news", "c").await;
    assert_eq!(node.told.texts(), ["a", "c"]);
}

#[tokio::test]
async fn commands_are_counted_while_they_wait_and_when_they_were_answered() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    server.signal("STOP");
    let before = node.server_figures().latency.count();
    let publishing = node.try_publish("news", "a");
    let go_on = async {
        until("the command to wait", async || {
            node.server_figures().waiting > 0
        })
        .await;
        server.signal("CONT");
    };
    let (published, ()) = futures_util::future::join(publishing, go_on).await;
    published.unwrap();
    assert!(node.server_figures().latency.count() > before);
    // The engine asks by itself, too.
    until("nothing to wait", async || {
        node.server_figures().waiting == 0
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_is_no_server() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(quick(&server)).await;
    node.hear("news").await;
    server.signal("STOP");
    assert_unavailable(node.try_publish("news", "a").await);
    until("the silence to be noticed", async || {
        !node.is_healthy().await
    })
    .await;
    server.signal("CONT");
    until("the connection", async || node.is_healthy().await).await;
    let end = node.publish("news", "b").await;
    // Whether the first was published nobody knows; whoever reads finds out.
    let start = Position {
        offset: Offset(0),
        ..end
    };
    let texts = node.texts_after("news", start).await.unwrap();
    assert!(texts == ["a", "b"] || texts == ["b"], "{texts:?}");
}

#[tokio::test]
async fn a_node_that_ends_hardly_waits_for_a_server_that_is_away() {
    let mut server = RedisServer::start(&[]).await;
    let node = Node::start_with(RedisSettings {
        timeout: Duration::from_mins(10),
        ..settings(&server)
    })
    .await;
    server.signal("STOP");
    let bound = Duration::from_mins(1);
    let closed = tokio::time::timeout(bound, node.engine.close()).await;
    assert_unavailable(closed.expect("it does not wait as long as a command may"));
    server.kill();
    until("the loss to be noticed", async || !node.is_healthy().await).await;
    let closed = tokio::time::timeout(bound, node.engine.close()).await;
    assert_unavailable(closed.expect("there is nothing to wait for"));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(RedisSettings {
        queue: 8,
        ..quick(&server)
    })
    .await;
    server.signal("STOP");
    let publications = (0..16).map(|_| node.try_publish("news", "a"));
    let answers = futures_util::future::join_all(publications).await;
    server.signal("CONT");
    let errors = answers.iter().map(|answer| {
        let error = answer.as_ref().unwrap_err();
        std::error::Error::source(error).unwrap().to_string()
    });
    let full = errors.filter(|error| error.contains("queue")).count();
    assert!(full >= 8, "{full}");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_when_there_is_an_idempotency_key() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(quick(&server)).await;
    node.hear("news").await;
    for round in 0..20 {
        let keyed = Publication {
            idempotency_key: IdempotencyKey::parse(&format!("key-{round}")).ok(),
            ..publication("news", &round.to_string())
        };
        let published = node.engine.publish(keyed);
        let killed = server.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
        let (published, _) = futures_util::future::join(published, killed).await;
        assert_eq!(published.unwrap().position.offset, Offset(round + 1));
    }
}

#[tokio::test]
async fn scripts_that_somebody_flushed_are_loaded_again() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    node.publish("news", "a").await;
    server.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(node.publish("news", "b").await.offset, Offset(2));
    server.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    let publications = ["c", "d", "e"].map(|text| publication("news", text));
    let published = node.engine.publish_in_order(publications.into()).await;
    let offsets = published
        .into_iter()
        .map(|one| one.unwrap().position.offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [3, 4, 5].map(Offset));
}

/// A server goes on from a file that is older than what its subscribers have heard. Returns what a reader finds who had heard all.
async fn resumed_from_an_older_file(trust_persistence: bool) -> Option<Vec<String>> {
    let mut server = RedisServer::start(&["--dbfilename", "old.rdb"]).await;
    let node = Node::start_with(RedisSettings {
        trust_persistence,
        ..quick(&server)
    })
    .await;
    node.hear("news").await;
    node.publish("news", "1").await;
    server.ask::<()>(&["SAVE"]).await;
    node.publish("news", "2").await;
    let cursor = node.publish("news", "3").await;
    server.kill();
    until("the loss to be noticed", async || !node.is_healthy().await).await;
    server.start_again().await;
    until("the connection", async || node.is_healthy().await).await;
    for text in ["2 anew", "3 anew", "4 anew"] {
        node.publish("news", text).await;
    }
    node.texts_after("news", cursor).await
}

#[tokio::test]
async fn a_server_that_goes_on_from_an_older_file_begins_new_epochs() {
    assert_eq!(resumed_from_an_older_file(false).await, None, "a told gap");
}

#[tokio::test]
async fn without_that_rule_messages_would_be_lost_silently() {
    // Nobody has told this reader that it lacks "2 anew" and "3 anew": the setting is for servers to which this cannot happen.
    let found = resumed_from_an_older_file(true).await;
    assert_eq!(found, Some(vec!["4 anew".to_owned()]));
}

#[tokio::test]
async fn what_the_server_flushes_or_evicts_is_a_told_gap() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    for words in [
        vec!["DEL", "widecast:s:{news}"],
        vec!["DEL", "widecast:h:{news}"],
        vec!["FLUSHALL"],
    ] {
        node.publish("news", "a").await;
        let cursor = node.publish("news", "b").await;
        node.publish("news", "c").await;
        server.ask::<()>(&words).await;
        let cut = node.texts_after("news", cursor).await;
        assert_eq!(cut, None, "{words:?}");
        node.publish("news", "d").await;
        let cut = node.texts_after("news", cursor).await;
        assert_eq!(cut, None, "{words:?}");
        let end = node.position("news").await;
        node.publish("news", "e").await;
        let goes_on = node.texts_after("news", end).await;
        assert_eq!(goes_on, Some(vec!["e".to_owned()]), "{words:?}");
    }
}

#[tokio::test]
async fn a_full_server_refuses_publications_and_subscribers_go_on() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let node = Node::start(&server).await;
    node.hear("news").await;
    let start = node.position("news").await;
    node.publish("news", "a").await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_unavailable(node.try_publish("news", "b").await);
    assert_eq!(
        node.texts_after("news", start).await,
        Some(vec!["a".to_owned()])
    );
    let replay = node.engine.replay(&name("news"), start, ALL).await;
    assert!(replay.unwrap().recovered);
    // A broker may come to it, too.
    let other = Node::start(&server).await;
    assert!(other.texts_after("news", start).await.is_some());
    assert_eq!(node.position("news").await.offset, Offset(1));
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    node.publish("news", "c").await;
    assert_eq!(node.told.texts(), ["a", "c"]);
}

/// What a publication has in addition when it can be repeated.
fn keyed(channel: &str) -> Publication {
    Publication {
        idempotency_key: IdempotencyKey::parse("key").ok(),
        ..publication(channel, "a")
    }
}

#[tokio::test]
async fn a_full_server_lets_no_channel_begin() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let node = Node::start(&server).await;
    node.publish("old", "a").await;
    let brief = Publication {
        history: HistoryLimits {
            messages: 0,
            ..HistoryLimits::default()
        },
        ..publication("old", "b")
    };
    let keys = server.ask::<u64>(&["DBSIZE"]).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_unavailable(node.try_publish("new", "a").await);
    assert_unavailable(node.engine.publish(keyed("new")).await);
    assert_unavailable(node.engine.publish(keyed("old")).await);
    assert_unavailable(node.engine.publish(brief).await);
    let limits = HistoryLimits::default();
    assert_unavailable(node.engine.position(&name("new"), limits).await);
    let nowhere = node.position("old").await;
    assert_unavailable(node.engine.replay(&name("new"), nowhere, ALL).await);
    assert_eq!(server.ask::<u64>(&["DBSIZE"]).await, keys);
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let published = node.engine.publish(keyed("new")).await.unwrap();
    assert_eq!(published.position.offset, Offset(1));
    assert!(!published.duplicate);
}

#[tokio::test]
async fn where_a_full_server_has_channels_of_an_earlier_process_they_make_room_and_can_be_read() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let node = Node::start(&server).await;
    for channel in ["published", "read", "joined"] {
        let end = node.publish(channel, "a").await;
        let state = format!("widecast:s:{{{channel}}}");
        server.ask::<u64>(&["HSET", &state, "s", "earlier"]).await;
        let memory = ["CONFIG", "SET", "maxmemory"];
        server.ask::<()>(&[&memory[..], &["1"]].concat()).await;
        match channel {
            "published" => assert_unavailable(node.try_publish(channel, "b").await),
            "read" => assert_eq!(node.texts_after(channel, end).await, None, "a told gap"),
            _ => assert_ne!(node.position(channel).await.epoch, end.epoch),
        }
        let history = format!("widecast:h:{{{channel}}}");
        assert_eq!(server.ask::<u64>(&["EXISTS", &history]).await, 0);
        server.ask::<()>(&[&memory[..], &["0"]].concat()).await;
        let next = node.publish(channel, "c").await;
        assert_ne!(next.epoch, end.epoch);
        assert_eq!(next.offset, Offset(1), "{channel}");
    }
}

#[tokio::test]
async fn a_user_who_may_not_publish_any_more_is_noticed_and_nothing_is_missed() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start_with(quick(&server)).await;
    node.hear("news").await;
    node.publish("news", "a").await;
    let may = async |rule: &str| {
        let user = ["ACL", "SETUSER", "default", rule];
        server.ask::<()>(&user).await;
    };
    may("-publish").await;
    until("it to be noticed", async || {
        assert_unavailable(node.try_publish("news", "b").await);
        !node.is_healthy().await
    })
    .await;
    may("+publish").await;
    until("the connection", async || node.is_healthy().await).await;
    // The script had kept what it could not tell.
    assert_eq!(node.told.lost(), ["news"]);
    node.publish("news", "c").await;
    assert_eq!(node.told.texts(), ["a", "c"]);
}

#[tokio::test]
async fn a_server_that_lacks_a_command_is_a_clear_error() {
    let server = RedisServer::start(&["--rename-command", "XADD", ""]).await;
    let told = refusal(settings(&server)).await;
    assert!(told.contains("XADD"), "{told}");
}

async fn refusal(settings: RedisSettings) -> String {
    let told = std::sync::Arc::new(super::node::Told::default());
    let error = RedisEngine::start(settings, told).await.unwrap_err();
    chain(&error)
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_a_clear_error_without_the_password() {
    let server = RedisServer::start(&["--requirepass", "right"]).await;
    let with = |user: &str| RedisSettings {
        url: format!("redis://{user}@127.0.0.1:{}", server.port),
        ..settings(&server)
    };
    let admin = redis::Client::open(with(":right").url).unwrap();
    let mut admin = admin.get_multiplexed_async_connection().await.unwrap();
    let mut user = redis::cmd("ACL");
    user.arg(&["SETUSER", "meek", "on", ">secret", "+@connection", "+info"]);
    user.query_async::<()>(&mut admin).await.unwrap();

    let wrong = refusal(with(":secret")).await;
    assert!(
        wrong.contains("refuses the user or the password"),
        "{wrong}"
    );
    let none = refusal(settings(&server)).await;
    assert!(none.contains("refuses the user or the password"), "{none}");
    let meek = refusal(with("meek:secret")).await;
    assert!(meek.contains("may not do what is needed"), "{meek}");
    let mut rights = vec!["ACL", "SETUSER", "meek", "~widecast:*"];
    // Until Redis 7 users may use all channels unless something else is said.
    rights.extend(["resetchannels", "&widecast:*"]);
    rights.extend(DOCUMENTED.split_whitespace());
    for (lacks, told) in [
        ("-hset", "HSET"),
        ("-xadd", "XADD"),
        ("-publish", "PUBLISH"),
        ("-subscribe", "subscribe"),
        ("-pubsub", "pubsub"),
    ] {
        let mut user = redis::cmd(rights[0]);
        user.arg(&rights[1..]).arg(lacks);
        user.query_async::<()>(&mut admin).await.unwrap();
        let error = refusal(with("meek:secret")).await;
        assert!(
            error.contains("may not do what is needed"),
            "{lacks}: {error}"
        );
        assert!(error.contains(told), "{lacks}: {error}");
    }
    for place in ["~other:*", "&other:*"] {
        let mut user = redis::cmd(rights[0]);
        let reset = if place.starts_with('~') {
            "resetkeys"
        } else {
            "resetchannels"
        };
        user.arg(&rights[1..]).arg(&[reset, place]);
        user.query_async::<()>(&mut admin).await.unwrap();
        let error = refusal(with("meek:secret")).await;
        assert!(
            error.contains("may not do what is needed"),
            "{place}: {error}"
        );
    }
    let url = refusal(RedisSettings {
        url: "http://x:secret@127.0.0.1".to_owned(),
        ..settings(&server)
    });
    let url = url.await;
    assert!(url.contains("expected redis://"), "{url}");
    for error in [wrong, meek, url] {
        assert!(!error.contains("secret"), "{error}");
    }
}

/// What `docs/scaling.md` gives a user.
pub(super) const DOCUMENTED: &str = "+@connection +info +script|load +evalsha +subscribe +unsubscribe +publish +pubsub|numsub \
     +ping +time +del +exists +expire +pexpire +pttl +set +get +@hash +@sortedset +@stream +sadd +srem +smembers";

#[tokio::test]
async fn a_user_with_the_documented_rights_can_do_everything() {
    let scaling = include_str!("../../../../../docs/scaling.md");
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain(scaling).contains(&plain(DOCUMENTED)));
    let server = RedisServer::start(&[]).await;
    let mut rights = vec!["ACL", "SETUSER", "broker", "reset", "on", ">secret"];
    rights.extend(["~widecast:*", "resetchannels", "&widecast:*"]);
    rights.extend(DOCUMENTED.split_whitespace());
    server.ask::<()>(&rights).await;
    let node = Node::start_with(RedisSettings {
        url: format!("redis://broker:secret@127.0.0.1:{}", server.port),
        presence_grace: Duration::from_millis(50),
        ephemeral: pointers(),
        ..quick(&server)
    })
    .await;
    node.publish("pointers:page", "not kept").await;
    node.hear("room").await;
    let start = node.position("room").await;
    let keyed = Publication {
        idempotency_key: IdempotencyKey::parse("key").ok(),
        history: HistoryLimits {
            messages: 1,
            ..HistoryLimits::default()
        },
        ..publication("room", "a")
    };
    node.engine.publish(keyed.clone()).await.unwrap();
    assert!(node.engine.publish(keyed).await.unwrap().duplicate);
    node.publish("room", "b").await;
    assert!(node.texts_after("room", start).await.is_some());
    node.enter(1, "ann").await;
    node.exit(1).await;
    until("ann to leave", async || {
        node.told.changes() == ["+ann", "-ann"]
    })
    .await;
    let channels = ChannelQuery {
        prefix: String::new(),
        after: None,
        limit: 9,
    };
    assert_eq!(
        node.engine.channels(channels).await.unwrap(),
        [name("room")]
    );
    let info = node.engine.channel_info(&name("room")).await.unwrap();
    assert_eq!(info.unwrap().history_messages, 2);
    node.engine
        .members(&name("room"), &EVERYBODY)
        .await
        .unwrap();
    node.engine.shared.touch().await.unwrap();
    node.engine.shared.beat().await.unwrap();
    node.engine.close().await.unwrap();
}

#[tokio::test]
async fn a_password_that_is_exchanged_on_the_server_and_in_the_file_is_used() {
    let server = RedisServer::start(&["--requirepass", "old"]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "old\n").unwrap();
    let node = Node::start_with(RedisSettings {
        password_file: Some(file.clone()),
        ..quick(&server)
    })
    .await;
    node.publish("news", "a").await;
    let url = format!("redis://:old@127.0.0.1:{}", server.port);
    let ask = async |words: &[&str]| try_ask::<redis::Value>(&url, words).await.unwrap();
    ask(&["CONFIG", "SET", "requirepass", "new"]).await;
    std::fs::write(&file, "new\n").unwrap();
    let url = format!("redis://:new@127.0.0.1:{}", server.port);
    let kill = ["CLIENT", "KILL", "TYPE", "normal"];
    try_ask::<redis::Value>(&url, &kill).await.unwrap();
    until("the connection", async || {
        node.reconnects() >= 1 && node.is_healthy().await
    })
    .await;
    node.publish("news", "b").await;
}

#[tokio::test]
async fn a_server_of_another_kind_is_a_clear_error() {
    let primary = RedisServer::start(&[]).await;
    let port = primary.port.to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]).await;
    let told = refusal(settings(&replica)).await;
    let expected = format!("its primary is at 127.0.0.1:{port}. Name that, or Sentinels");
    assert!(told.contains(&expected), "{told}");
    let node = RedisServer::start(&["--cluster-enabled", "yes"]).await;
    let told = refusal(settings(&node)).await;
    assert!(told.contains("is a node of a cluster"), "{told}");
    let expected = format!("`url = \"redis+cluster://127.0.0.1:{}\"`", node.port);
    assert!(told.contains(&expected), "{told}");
}

#[tokio::test]
async fn a_broker_may_be_started_before_its_server() {
    let mut server = RedisServer::start(&[]).await;
    server.kill();
    let node = Node::start_with(quick(&server)).await;
    assert!(!node.is_healthy().await);
    server.start_again().await;
    until("the connection", async || node.is_healthy().await).await;
    node.publish("news", "a").await;
}
