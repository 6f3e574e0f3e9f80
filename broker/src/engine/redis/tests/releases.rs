//! What brokers of this release and of those next to it have in common: the keys of a server, and what is told on a topic. Whoever has
//! to change these bytes makes brokers that do not understand each other while some of them have been replaced.

use std::time::SystemTime;

use super::node::{Node, until};
use super::server::{RedisServer, try_ask};
use crate::engine::conformance::publication;
use crate::engine::{MessageLog, Publication};
use widecast_protocol::{Epoch, IdempotencyKey, Offset, Position};

const RECORD: &[u8] =
    b"\x01\x99\x00\x00\xc4\x05hello\xc0\xc0\xc0\xa0\xd9 69e091b491db462d9bd6b416d1b84e30\xa1k";

/// A channel with one message, as another broker has left it.
async fn leave_a_channel(server: &RedisServer) {
    let about = server.ask::<String>(&["INFO", "server"]).await;
    let process = about.lines().find_map(|line| line.strip_prefix("run_id:"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_millis().to_string();
    let fields = [
        ["e", "16327954303885694992"],
        ["o", "1"],
        ["s", process.unwrap()],
        ["a", "300000"],
        ["f", "1"],
        ["b", "51"],
        ["t", &now],
        ["h", &now],
    ];
    let state = [&["HSET", "widecast:s:{news}"], fields.as_flattened()].concat();
    server.ask::<i64>(&state).await;
    let id = format!("1-{now}");
    let stream: [&[u8]; 5] = [b"XADD", b"widecast:h:{news}", id.as_bytes(), b"r", RECORD];
    try_ask::<String>(&server.url(), &stream).await.unwrap();
    let published = "16327954303885694992 1 11445418452378044542";
    server
        .ask::<()>(&["SET", "widecast:k4:{news}k", published])
        .await;
}

const AT_FIRST: Position = Position {
    epoch: Epoch(16_327_954_303_885_694_992),
    offset: Offset(1),
};

#[tokio::test]
async fn a_channel_that_another_release_has_left_goes_on() {
    let server = RedisServer::start(&[]).await;
    leave_a_channel(&server).await;
    let node = Node::start(&server).await;
    let before = Position {
        offset: Offset(0),
        ..AT_FIRST
    };
    assert_eq!(node.position("news").await, AT_FIRST);
    let held = node.texts_after("news", before).await;
    assert_eq!(held, Some(vec!["hello".to_owned()]));
    let again = Publication {
        idempotency_key: Some(IdempotencyKey::parse("k").unwrap()),
        ..publication("news", "hello")
    };
    let again = node.engine.publish(again).await.unwrap();
    assert!(again.duplicate && again.position == AT_FIRST);
    let next = node.publish("news", "next").await;
    assert_eq!(next.offset, Offset(2));
    assert_eq!(next.epoch, AT_FIRST.epoch);
}

#[tokio::test]
async fn what_another_release_tells_on_a_topic_is_heard() {
    let server = RedisServer::start(&[]).await;
    leave_a_channel(&server).await;
    let node = Node::start(&server).await;
    node.hear("news").await;
    let told = [b"m16327954303885694992 2 1796148370878 ", RECORD].concat();
    let publish: [&[u8]; 3] = [b"PUBLISH", b"widecast:t0:news", &told];
    try_ask::<i64>(&server.url(), &publish).await.unwrap();
    until("it to be heard", async || node.told.texts() == ["hello"]).await;
}

#[tokio::test]
async fn another_release_finds_a_channel_where_it_would_have_put_it() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    let message = Publication {
        idempotency_key: Some(IdempotencyKey::parse("k").unwrap()),
        ..publication("news", "hello")
    };
    let at = node.engine.publish(message).await.unwrap().position;
    let mut fields: Vec<String> = server.ask(&["HKEYS", "widecast:s:{news}"]).await;
    fields.sort();
    assert_eq!(fields, ["a", "b", "e", "f", "h", "o", "s", "t"]);
    let stream: Vec<(String, (String, Vec<u8>))> =
        server.ask(&["XRANGE", "widecast:h:{news}", "-", "+"]).await;
    assert_eq!(stream.len(), 1);
    let (id, (field, record)) = &stream[0];
    assert!(id.starts_with("1-") && field == "r" && record[0] == 1);
    let key: String = server.ask(&["GET", "widecast:k4:{news}k"]).await;
    assert!(key.starts_with(&format!("{} 1 ", at.epoch.0)), "{key}");
}
