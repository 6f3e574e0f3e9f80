//! Messages get their places in a channel, and are replayed from there.

use std::collections::BTreeSet;
use std::sync::Arc;

use widecast_protocol::{IdempotencyKey, Offset, Origin, Position};

use super::{
    ALL, IDEMPOTENCY_WINDOW, IDLE_GRACE, Stage, Told, all, assert_replay, at, listen, name,
    position, publication, publish, texts,
};
use crate::engine::{HistoryLimits, Portion, Publication};

pub(in crate::engine) async fn offsets_count_from_one_without_holes(stage: &dyn Stage) {
    listen(stage, "news").await;
    let start = position(stage, "news").await;
    assert_eq!(start.offset, Offset(0));
    for offset in 1..=300 {
        let published = stage.engine().publish(publication("news", "x")).await;
        let published = published.unwrap();
        assert_eq!(published.position, at(start, offset));
        assert!(!published.duplicate);
        assert_eq!(published.subscribers, 1);
    }
    let heard = stage.heard().messages();
    let offsets: Vec<_> = heard.iter().map(|m| m.message().offset.0).collect();
    assert_eq!(offsets, (1..=300).collect::<Vec<_>>());
    assert_eq!(position(stage, "news").await, at(start, 300));
}

pub(in crate::engine) async fn everything_is_delivered_or_told_as_lost(stage: &dyn Stage) {
    let channels = ["news", "sport"];
    let mut starts = Vec::new();
    for channel in channels {
        listen(stage, channel).await;
        starts.push(position(stage, channel).await);
    }
    let published: Vec<_> = (1..=60).map(|number| number.to_string()).collect();
    for text in &published {
        for channel in channels {
            publish(stage, channel, &[text]).await;
        }
    }
    stage.settle();
    for (channel, start) in channels.into_iter().zip(starts) {
        assert_eq!(known_in_the_end(stage, channel, start).await, published);
    }
}

/// The texts that a node knows in the end that takes what comes next, passes over what comes again, and reads what is missing: before a
/// message that comes, or all there is when it is told of a loss.
async fn known_in_the_end(stage: &dyn Stage, channel: &str, start: Position) -> Vec<String> {
    let channel = name(channel);
    let (mut known, mut known_texts) = (start, Vec::new());
    let mut arrived = BTreeSet::new();
    for told in stage.heard().told_of(&channel) {
        let upto = match told {
            Told::Message(message) => {
                let Position { epoch, offset } = message.position();
                assert_eq!(epoch, start.epoch);
                let is_new = arrived.last().is_none_or(|newest| *newest < offset);
                let is_in_turn = is_new || arrived.contains(&offset);
                assert!(is_in_turn, "{offset} of {channel} was overtaken");
                arrived.insert(offset);
                offset
            }
            Told::Lost(_) => Offset(u64::MAX),
        };
        let read = stage.engine().replay(&channel, known, ALL).await.unwrap();
        assert!(read.recovered && read.complete);
        let messages = read.messages.iter();
        for message in messages.take_while(|message| message.message().offset <= upto) {
            known = message.position();
            known_texts.extend(
                texts(&[Arc::clone(message)])
                    .iter()
                    .map(ToString::to_string),
            );
        }
    }
    known_texts
}

pub(in crate::engine) async fn what_was_published_is_what_is_delivered_and_replayed(
    stage: &dyn Stage,
) {
    use widecast_protocol::{EventName, SenderKey};
    listen(stage, "news").await;
    let start = position(stage, "news").await;
    let publication = Publication {
        event: Some(EventName::parse("update").unwrap()),
        origin: Origin::verified("https://example.org"),
        sender: Some(SenderKey::parse("0123456789abcdef").unwrap()),
        ..publication("news", "x")
    };
    stage.engine().publish(publication.clone()).await.unwrap();
    let replay = all(stage, start).await;
    for heard in [&stage.heard().messages()[0], &replay.messages[0]] {
        let message = heard.message();
        assert_eq!(message.channel, publication.channel);
        assert_eq!(message.payload, publication.payload);
        assert_eq!(message.event, publication.event);
        assert_eq!(message.origin, publication.origin);
        assert_eq!(message.sender, publication.sender);
        assert_eq!(heard.position(), at(start, 1));
        assert!(message.timestamp_ms > 0);
    }
}

pub(in crate::engine) async fn several_messages_of_a_channel_are_published_in_their_order(
    stage: &dyn Stage,
) {
    let start = position(stage, "news").await;
    let keyed = |text: &str| Publication {
        idempotency_key: Some(IdempotencyKey::parse("k").unwrap()),
        ..publication("news", text)
    };
    let mut publications: Vec<_> = (1..=40)
        .map(|number| publication("news", &number.to_string()))
        .collect();
    publications.insert(20, keyed("first"));
    publications.push(keyed("again"));
    let published = stage.engine().publish_in_order(publications).await;
    let places = published.into_iter().map(|published| {
        let published = published.unwrap();
        (published.position.offset.0, published.duplicate)
    });
    let mut expected: Vec<_> = (1..=41).map(|offset| (offset, false)).collect();
    expected.push((21, true));
    assert_eq!(places.collect::<Vec<_>>(), expected);
    let mut expected: Vec<_> = (1..=40).map(|number| number.to_string()).collect();
    expected.insert(20, "first".to_owned());
    assert_eq!(texts(&all(stage, start).await.messages), expected);
    let nothing = stage.engine().publish_in_order(Vec::new()).await;
    assert!(nothing.is_empty());
}

pub(in crate::engine) async fn each_channel_has_its_own_offsets_and_epoch(stage: &dyn Stage) {
    publish(stage, "a", &["1", "2"]).await;
    publish(stage, "b", &["1"]).await;
    let (a, b) = (position(stage, "a").await, position(stage, "b").await);
    assert_eq!((a.offset, b.offset), (Offset(2), Offset(1)));
    assert_ne!(a.epoch, b.epoch);
}

pub(in crate::engine) async fn a_replay_is_everything_after_the_position(stage: &dyn Stage) {
    let start = position(stage, "news").await;
    assert_replay(stage, start, Some(&[])).await;
    publish(stage, "news", &["a", "b", "c"]).await;
    assert_replay(stage, start, Some(&["a", "b", "c"])).await;
    assert_replay(stage, at(start, 2), Some(&["c"])).await;
    assert_replay(stage, at(start, 3), Some(&[])).await;
}

pub(in crate::engine) async fn a_replay_is_read_in_portions(stage: &dyn Stage) {
    let (engine, news) = (stage.engine(), name("news"));
    let start = position(stage, "news").await;
    publish(stage, "news", &["a", "b", "c"]).await;
    let read = async |since: Position, messages: usize, bytes: u64| {
        let portion = Portion { messages, bytes };
        let replay = engine.replay(&news, since, portion).await.unwrap();
        assert!(replay.recovered);
        let texts = texts(&replay.messages).join(" ");
        (texts, replay.position, replay.complete)
    };
    assert_eq!(
        read(start, 2, 1000).await,
        ("a b".into(), at(start, 2), false)
    );
    assert_eq!(
        read(at(start, 2), 2, 1000).await,
        ("c".into(), at(start, 3), true)
    );
    assert_eq!(
        read(at(start, 3), 2, 1000).await,
        (String::new(), at(start, 3), true)
    );
    // One message is given, however little is asked for.
    assert_eq!(read(start, 9, 1).await, ("a".into(), at(start, 1), false));
    // None: whether they could be had.
    assert_eq!(read(start, 0, 0).await, (String::new(), start, false));
    assert_eq!(
        read(at(start, 3), 0, 0).await,
        (String::new(), at(start, 3), true)
    );
}

pub(in crate::engine) async fn what_cannot_be_replayed_is_told(stage: &dyn Stage) {
    publish(stage, "news", &["a"]).await;
    let newest = position(stage, "news").await;
    assert_replay(stage, at(newest, 2), None).await;
    let mut other = newest;
    other.epoch.0 ^= 1;
    assert_replay(stage, other, None).await;
    assert_replay(stage, at(other, 0), None).await;
}

pub(in crate::engine) async fn a_replay_beyond_the_history_is_a_gap(stage: &dyn Stage) {
    let limits = HistoryLimits {
        messages: 2,
        ..HistoryLimits::default()
    };
    let start = position(stage, "news").await;
    for text in ["a", "b", "c"] {
        let publication = Publication {
            history: limits,
            ..publication("news", text)
        };
        stage.engine().publish(publication).await.unwrap();
    }
    let lost = all(stage, start).await;
    assert!(!lost.recovered);
    let held = all(stage, at(start, 1)).await;
    assert_eq!(texts(&held.messages), ["b", "c"]);
}

pub(in crate::engine) async fn without_history_only_the_present_can_be_resumed(stage: &dyn Stage) {
    let publication = Publication {
        history: HistoryLimits {
            messages: 0,
            ..HistoryLimits::default()
        },
        ..publication("news", "a")
    };
    let start = position(stage, "news").await;
    let published = stage.engine().publish(publication).await.unwrap();
    assert_replay(stage, start, None).await;
    assert_replay(stage, published.position, Some(&[])).await;
}

pub(in crate::engine) async fn expired_messages_are_gone(stage: &dyn Stage) {
    let start = position(stage, "news").await;
    publish(stage, "news", &["a"]).await;
    stage.pass(HistoryLimits::default().age / 2).await;
    publish(stage, "news", &["b"]).await;
    stage.pass(HistoryLimits::default().age / 2).await;
    assert_replay(stage, start, None).await;
    assert_replay(stage, at(start, 1), Some(&["b"])).await;
}

pub(in crate::engine) async fn an_unused_channel_is_remembered_for_the_grace_time(
    stage: &dyn Stage,
) {
    let start = position(stage, "news").await;
    stage.pass(IDLE_GRACE / 2).await;
    assert_replay(stage, start, Some(&[])).await;
    stage.pass(IDLE_GRACE / 2).await;
    assert_replay(stage, start, Some(&[])).await;
    // An engine may take a quarter longer, so that it need not note every use.
    stage.pass(IDLE_GRACE * 5 / 4).await;
    assert_replay(stage, start, None).await;
    assert_eq!(position(stage, "news").await.offset, Offset(0));
}

pub(in crate::engine) async fn a_channel_with_subscribers_keeps_its_epoch(stage: &dyn Stage) {
    let (engine, news) = (stage.engine(), name("news"));
    engine.interested(&news).await.unwrap();
    engine.interested(&news).await.unwrap();
    publish(stage, "news", &["a"]).await;
    let newest = position(stage, "news").await;
    stage.pass(3 * IDLE_GRACE).await;
    assert_replay(stage, newest, Some(&[])).await;
    engine.uninterested(&news);
    stage.pass(2 * IDLE_GRACE).await;
    assert_ne!(position(stage, "news").await.epoch, newest.epoch);
}

pub(in crate::engine) async fn a_repetition_within_the_window_is_published_once(stage: &dyn Stage) {
    let keyed = |channel: &str, text: &str| Publication {
        idempotency_key: Some(IdempotencyKey::parse("order-7").unwrap()),
        ..publication(channel, text)
    };
    let engine = stage.engine();
    listen(stage, "news").await;
    listen(stage, "sport").await;
    let first = engine.publish(keyed("news", "a")).await.unwrap();
    publish(stage, "news", &["b"]).await;
    stage.pass(IDEMPOTENCY_WINDOW / 2).await;
    let again = engine.publish(keyed("news", "a again")).await.unwrap();
    assert_eq!((again.position, again.duplicate), (first.position, true));
    assert_eq!(again.subscribers, 0);
    let elsewhere = engine.publish(keyed("sport", "c")).await.unwrap();
    assert!(!elsewhere.duplicate);
    assert_eq!(texts(&stage.heard().messages()), ["a", "b", "c"]);
    stage.pass(IDEMPOTENCY_WINDOW / 2).await;
    let anew = engine.publish(keyed("news", "d")).await.unwrap();
    assert_eq!((anew.position.offset, anew.duplicate), (Offset(3), false));
}
