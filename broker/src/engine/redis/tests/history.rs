//! What `publish.lua` spares itself, and must not be seen.

use std::time::Duration;

use super::node::{Node, until};
use super::server::RedisServer;
use super::stage::RedisStage;
use crate::engine::conformance::{ALL, Stage, name, publication, texts};
use crate::engine::{HistoryLimits, MessageLog, Publication};

async fn publish_with(node: &Node, history: HistoryLimits, text: &str) {
    let publication = Publication {
        history,
        ..publication("news", text)
    };
    node.engine.publish(publication).await.unwrap();
}

#[tokio::test]
async fn a_history_that_was_evicted_begins_with_the_next_message() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    for _ in 0..2 {
        let first = node.publish("news", "a").await;
        let second = node.publish("news", "b").await;
        server.ask::<()>(&["DEL", "widecast:h:{news}"]).await;
        node.publish("news", "c").await;
        assert_eq!(node.texts_after("news", first).await, None);
        let held = node.texts_after("news", second).await;
        assert_eq!(held, Some(vec!["c".to_owned()]));
        let lives = server.ask::<i64>(&["PTTL", "widecast:h:{news}"]).await;
        assert!(lives > 0, "it would never expire");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_lost_and_those_behind_it_are_not() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    node.hear("news").await;
    let first = node.publish("news", "a").await;
    node.publish("news", "b").await;
    let last = node.publish("news", "c").await;
    // A release that is not known here would write such a one; what it has published before is gone.
    server.ask::<()>(&["DEL", "widecast:h:{news}"]).await;
    server
        .ask::<String>(&["XADD", "widecast:h:{news}", "2-1", "r", "\u{2}"])
        .await;
    node.publish("news", "d").await;
    let gap = node.replay("news", first).await;
    assert!(!gap.recovered && gap.messages.is_empty() && !gap.complete);
    assert_eq!(gap.position, last);
    let held = node.texts_after("news", gap.position).await;
    assert_eq!(held, Some(vec!["d".to_owned()]));
    // Whoever hears such a one looks at the history.
    let topic = node.engine.shared.keys.topic(&name("news"));
    let heard = format!("m{} 5 1 \u{2}", last.epoch.0);
    server.ask::<i64>(&["PUBLISH", &topic, &heard]).await;
    until("the channel to be read", async || {
        node.told.lost() == ["news"]
    })
    .await;
}

#[tokio::test]
async fn a_channel_may_lose_its_history_and_have_one_again() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    let channel = name("news");
    let before = node.publish("news", "a").await;
    let ask = async |limits| node.engine.position(&channel, limits).await.unwrap();
    ask(HistoryLimits::NONE).await;
    publish_with(&node, HistoryLimits::NONE, "b").await;
    publish_with(&node, HistoryLimits::NONE, "c").await;
    let without = ask(HistoryLimits::default()).await;
    assert_eq!(node.texts_after("news", before).await, None);
    assert_eq!(node.texts_after("news", without).await, Some(Vec::new()));
    node.publish("news", "d").await;
    assert_eq!(node.texts_after("news", before).await, None);
    let held = node.texts_after("news", without).await;
    assert_eq!(held, Some(vec!["d".to_owned()]));
}

#[tokio::test]
async fn what_was_held_is_held_for_as_long_as_a_later_setting_says() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    let channel = name("news");
    let lives = async || server.ask::<i64>(&["PTTL", "widecast:h:{news}"]).await;
    let of_age = |age| HistoryLimits {
        age,
        ..HistoryLimits::default()
    };
    let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
    let before = node.position("news").await;
    publish_with(&node, of_age(minute), "a").await;
    assert!(lives().await < 2 * 60_000);
    // A broker with the new setting looks where the channel is. Its next publication may renew nothing.
    node.engine.position(&channel, of_age(hour)).await.unwrap();
    assert!(lives().await >= 59 * 60_000);
    publish_with(&node, of_age(hour), "b").await;
    assert!(lives().await >= 59 * 60_000);
    let held = node.texts_after("news", before).await;
    assert_eq!(held, Some(vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn what_is_too_large_for_the_history_ends_it() {
    let server = RedisServer::start(&[]).await;
    let node = Node::start(&server).await;
    let small = HistoryLimits {
        bytes: 500,
        ..HistoryLimits::default()
    };
    publish_with(&node, small, "a").await;
    let first = node.position("news").await;
    publish_with(&node, small, &"b".repeat(1000)).await;
    let second = node.position("news").await;
    assert_eq!(node.texts_after("news", first).await, None);
    publish_with(&node, small, "c").await;
    let held = node.texts_after("news", second).await;
    assert_eq!(held, Some(vec!["c".to_owned()]));
    assert_eq!(node.texts_after("news", first).await, None);
}

#[tokio::test]
async fn a_message_is_held_for_its_age_whenever_it_comes() {
    let stage = RedisStage::new().await;
    let age = HistoryLimits::default().age;
    let publish = async |text| {
        let published = stage.engine().publish(publication("news", text)).await;
        published.unwrap().position
    };
    let mut epochs = Vec::new();
    for _ in 0..8 {
        let before = publish("a").await;
        // This one may be so near that nothing has to be renewed for it.
        stage.pass(age / 10).await;
        publish("b").await;
        stage.pass(age * 99 / 100).await;
        let replay = stage.engine().replay(&name("news"), before, ALL).await;
        let replay = replay.unwrap();
        assert!(replay.recovered);
        assert_eq!(texts(&replay.messages), ["b"]);
        epochs.push(before.epoch);
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "the channel is in use");
}
