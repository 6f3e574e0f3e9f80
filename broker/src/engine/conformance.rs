//! What every engine has to do, whatever it keeps its state in. An engine's tests run all of it with
//! [`conformance_tests`], on a [`Stage`] of their own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use widecast_protocol::{
    ChannelName, EncodedMessage, IdempotencyKey, Member, Offset, Origin, Payload, Position,
};

use super::{
    Announcement, ChannelQuery, ConnectionId, Deliver, Engine, HistoryLimits, HistoryOrder,
    HistoryQuery, MemberQuery, NumberedChange, Portion, PresenceChange, PresenceEntry, Publication,
    Replay,
};

/// More than any test publishes.
pub(super) const ALL: Portion = Portion {
    messages: usize::MAX,
    bytes: u64::MAX,
};

/// The grace time of members and the idempotency window on a stage, and how long an unused channel is remembered.
pub(super) const PRESENCE_GRACE: Duration = Duration::from_secs(5);
pub(super) const IDEMPOTENCY_WINDOW: Duration = Duration::from_mins(5);
pub(super) const IDLE_GRACE: Duration = Duration::from_mins(5);

/// An engine with everything around it.
pub(super) trait Stage {
    /// The engine, new.
    fn engine(&self) -> &dyn Engine;
    /// What it has delivered.
    fn heard(&self) -> &Heard;
    /// Time passes, and the engine does what was due.
    fn pass(&self, time: Duration) -> BoxFuture<'_, ()>;
}

/// Remembers what was delivered.
#[derive(Debug, Default)]
pub(super) struct Heard {
    messages: Mutex<Vec<Arc<EncodedMessage>>>,
    changes: Mutex<Vec<NumberedChange>>,
}

impl Heard {
    pub(super) fn messages(&self) -> Vec<Arc<EncodedMessage>> {
        self.messages.lock().unwrap().clone()
    }

    /// The changes of members since the last call.
    fn take_changes(&self) -> Vec<PresenceChange> {
        let numbered = std::mem::take(&mut *self.changes.lock().unwrap());
        numbered.into_iter().map(|one| one.change).collect()
    }

    /// The number of the newest change since the last call of [`Heard::take_changes`].
    fn newest_change(&self) -> Option<u64> {
        let changes = self.changes.lock().unwrap();
        changes.last().map(|newest| newest.number)
    }
}

impl Deliver for Heard {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        self.messages.lock().unwrap().push(message);
        1
    }

    fn presence(&self, _: &ChannelName, change: NumberedChange) {
        self.changes.lock().unwrap().push(change);
    }

    fn lost(&self, _: &ChannelName) {}
}

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub(super) fn publication(channel: &str, text: &str) -> Publication {
    Publication {
        channel: name(channel),
        payload: Payload::text(text),
        event: None,
        origin: Origin::unknown(),
        sender: None,
        idempotency_key: None,
        id: None,
        history: HistoryLimits::default(),
    }
}

/// An engine of several nodes delivers here only what somebody here hears.
async fn listen(stage: &dyn Stage, channel: &str) {
    let channel = name(channel);
    stage.engine().interested(&channel).await.unwrap();
}

async fn publish(stage: &dyn Stage, channel: &str, texts: &[&str]) {
    for text in texts {
        let publication = publication(channel, text);
        stage.engine().publish(publication).await.unwrap();
    }
}

async fn position(stage: &dyn Stage, channel: &str) -> Position {
    let (channel, limits) = (name(channel), HistoryLimits::default());
    let position = stage.engine().position(&channel, limits).await;
    position.unwrap()
}

pub(super) fn texts(messages: &[Arc<EncodedMessage>]) -> Vec<&str> {
    let texts = messages.iter().map(|message| {
        let bytes = message.message().payload.bytes();
        std::str::from_utf8(bytes).unwrap()
    });
    texts.collect()
}

fn at(position: Position, offset: u64) -> Position {
    let offset = Offset(offset);
    Position { offset, ..position }
}

async fn assert_replay(stage: &dyn Stage, since: Position, expected: Option<&[&str]>) {
    let replay = all(stage, since).await;
    let found = replay.recovered.then(|| texts(&replay.messages));
    assert_eq!(found.as_deref(), expected);
    assert!(replay.recovered || replay.messages.is_empty());
    assert!(replay.complete);
    assert_eq!(replay.position, position(stage, "news").await);
}

/// Everything after a position, in one portion.
async fn all(stage: &dyn Stage, since: Position) -> Replay {
    let news = name("news");
    stage.engine().replay(&news, since, ALL).await.unwrap()
}

pub(super) async fn offsets_count_from_one_without_holes(stage: &dyn Stage) {
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

pub(super) async fn what_was_published_is_what_is_delivered_and_replayed(stage: &dyn Stage) {
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

pub(super) async fn each_channel_has_its_own_offsets_and_epoch(stage: &dyn Stage) {
    publish(stage, "a", &["1", "2"]).await;
    publish(stage, "b", &["1"]).await;
    let (a, b) = (position(stage, "a").await, position(stage, "b").await);
    assert_eq!((a.offset, b.offset), (Offset(2), Offset(1)));
    assert_ne!(a.epoch, b.epoch);
}

pub(super) async fn a_replay_is_everything_after_the_position(stage: &dyn Stage) {
    let start = position(stage, "news").await;
    assert_replay(stage, start, Some(&[])).await;
    publish(stage, "news", &["a", "b", "c"]).await;
    assert_replay(stage, start, Some(&["a", "b", "c"])).await;
    assert_replay(stage, at(start, 2), Some(&["c"])).await;
    assert_replay(stage, at(start, 3), Some(&[])).await;
}

pub(super) async fn a_replay_is_read_in_portions(stage: &dyn Stage) {
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

pub(super) async fn what_cannot_be_replayed_is_told(stage: &dyn Stage) {
    publish(stage, "news", &["a"]).await;
    let newest = position(stage, "news").await;
    assert_replay(stage, at(newest, 2), None).await;
    let mut other = newest;
    other.epoch.0 ^= 1;
    assert_replay(stage, other, None).await;
    assert_replay(stage, at(other, 0), None).await;
}

pub(super) async fn a_replay_beyond_the_history_is_a_gap(stage: &dyn Stage) {
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

pub(super) async fn without_history_only_the_present_can_be_resumed(stage: &dyn Stage) {
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

pub(super) async fn expired_messages_are_gone(stage: &dyn Stage) {
    let start = position(stage, "news").await;
    publish(stage, "news", &["a"]).await;
    stage.pass(HistoryLimits::default().age / 2).await;
    publish(stage, "news", &["b"]).await;
    stage.pass(HistoryLimits::default().age / 2).await;
    assert_replay(stage, start, None).await;
    assert_replay(stage, at(start, 1), Some(&["b"])).await;
}

pub(super) async fn an_unused_channel_is_remembered_for_the_grace_time(stage: &dyn Stage) {
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

pub(super) async fn a_channel_with_subscribers_keeps_its_epoch(stage: &dyn Stage) {
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

async fn assert_page(
    stage: &dyn Stage,
    query: HistoryQuery,
    expected: &[&str],
    continues: Position,
) {
    let page = stage.engine().history(&name("news"), query).await.unwrap();
    assert_eq!(texts(&page.messages), expected, "{query:?}");
    assert_eq!(page.position, continues, "{query:?}");
    assert!(page.recovered, "{query:?}");
}

pub(super) async fn history_is_read_in_pages_in_both_directions(stage: &dyn Stage) {
    publish(stage, "news", &["a", "b", "c", "d", "e"]).await;
    let newest = position(stage, "news").await;
    let page = |since: Option<u64>, order| HistoryQuery {
        since: since.map(|offset| at(newest, offset)),
        limit: 2,
        order,
    };
    let forward = |since| page(since, HistoryOrder::OldestFirst);
    assert_page(stage, forward(None), &["d", "e"], at(newest, 5)).await;
    assert_page(stage, forward(Some(0)), &["a", "b"], at(newest, 2)).await;
    assert_page(stage, forward(Some(2)), &["c", "d"], at(newest, 4)).await;
    assert_page(stage, forward(Some(4)), &["e"], newest).await;
    assert_page(stage, forward(Some(5)), &[], newest).await;
    let backward = |since| page(since, HistoryOrder::NewestFirst);
    assert_page(stage, backward(None), &["e", "d"], at(newest, 4)).await;
    assert_page(stage, backward(Some(4)), &["c", "b"], at(newest, 2)).await;
    assert_page(stage, backward(Some(2)), &["a"], at(newest, 1)).await;
    assert_page(stage, backward(Some(1)), &[], at(newest, 1)).await;
}

pub(super) async fn a_page_with_a_gap_starts_with_what_is_held(stage: &dyn Stage) {
    publish(stage, "news", &["a", "b", "c"]).await;
    let newest = position(stage, "news").await;
    let mut other = newest;
    other.epoch.0 ^= 1;
    for (order, expected, continues) in [
        (HistoryOrder::OldestFirst, ["a", "b"], at(newest, 2)),
        (HistoryOrder::NewestFirst, ["c", "b"], at(newest, 2)),
    ] {
        for since in [other, at(newest, 4)] {
            let query = HistoryQuery {
                since: Some(since),
                limit: 2,
                order,
            };
            let page = stage.engine().history(&name("news"), query).await.unwrap();
            assert_eq!(texts(&page.messages), expected);
            assert_eq!((page.position, page.recovered), (continues, false));
        }
    }
}

pub(super) async fn a_repetition_within_the_window_is_published_once(stage: &dyn Stage) {
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

fn member(id: &str, data: &str) -> Member {
    Member {
        id: id.to_owned(),
        data: Payload::text(data),
    }
}

async fn enter(stage: &dyn Stage, connection: u64, member: Member) {
    let entry = PresenceEntry {
        connection: ConnectionId(connection),
        member,
    };
    stage.engine().enter(&name("news"), entry).await.unwrap();
}

async fn exit(stage: &dyn Stage, connection: u64) {
    let connection = ConnectionId(connection);
    let exited = stage.engine().exit(&name("news"), connection).await;
    exited.unwrap();
}

pub(super) const EVERYBODY: MemberQuery = MemberQuery {
    after: None,
    limit: usize::MAX,
    bytes: usize::MAX,
};

pub(super) async fn members_join_once_and_leave_after_the_grace_time(stage: &dyn Stage) {
    use PresenceChange::{Joined, Left};
    listen(stage, "news").await;
    let (ann, bob) = (member("ann", ""), member("bob", ""));
    enter(stage, 1, bob.clone()).await;
    enter(stage, 2, ann.clone()).await;
    enter(stage, 3, ann.clone()).await;
    let list = stage
        .engine()
        .members(&name("news"), &EVERYBODY)
        .await
        .unwrap();
    // Who has the list knows the changes so far.
    assert_eq!(stage.heard().newest_change(), Some(list.changes));
    let joins = [Joined(bob.clone()), Joined(ann.clone())];
    assert_eq!(stage.heard().take_changes(), joins);
    assert_eq!(list.list.members, [ann.clone(), bob.clone()]);
    exit(stage, 2).await;
    stage.pass(2 * PRESENCE_GRACE).await;
    assert_eq!(stage.heard().take_changes(), []);
    exit(stage, 3).await;
    stage.pass(PRESENCE_GRACE / 2).await;
    enter(stage, 4, ann.clone()).await;
    stage.pass(2 * PRESENCE_GRACE).await;
    assert_eq!(stage.heard().take_changes(), []);
    exit(stage, 4).await;
    exit(stage, 1).await;
    stage.pass(2 * PRESENCE_GRACE).await;
    let list = stage
        .engine()
        .members(&name("news"), &EVERYBODY)
        .await
        .unwrap();
    assert_eq!(list.list.members, []);
    assert_eq!(stage.heard().newest_change(), Some(list.changes));
    assert_eq!(stage.heard().take_changes(), [Left(ann), Left(bob)]);
}

pub(super) async fn changed_data_is_told(stage: &dyn Stage) {
    use PresenceChange::{Changed, Joined};
    listen(stage, "news").await;
    enter(stage, 1, member("ann", "idle")).await;
    enter(stage, 1, member("ann", "typing")).await;
    let told = stage.heard().take_changes();
    let expected = [
        Joined(member("ann", "idle")),
        Changed(member("ann", "typing")),
    ];
    assert_eq!(told, expected);
}

pub(super) async fn channels_in_use_are_listed_in_pages(stage: &dyn Stage) {
    let engine = stage.engine();
    publish(stage, "room:2", &["a"]).await;
    engine.interested(&name("room:1")).await.unwrap();
    engine.interested(&name("other")).await.unwrap();
    position(stage, "room:unused").await;
    let entry = PresenceEntry {
        connection: ConnectionId(1),
        member: member("ann", ""),
    };
    engine.enter(&name("room:3"), entry).await.unwrap();
    let query = |after: Option<&str>| ChannelQuery {
        prefix: "room:".to_owned(),
        after: after.map(name),
        limit: 2,
    };
    let first = engine.channels(query(None)).await.unwrap();
    assert_eq!(first, [name("room:1"), name("room:2")]);
    let second = engine.channels(query(Some("room:2"))).await.unwrap();
    assert_eq!(second, [name("room:3")]);
    engine.uninterested(&name("room:1"));
    let first = engine.channels(query(None)).await.unwrap();
    assert_eq!(first, [name("room:2"), name("room:3")]);
}

pub(super) async fn what_is_held_of_a_channel_can_be_asked(stage: &dyn Stage) {
    let (engine, news) = (stage.engine(), name("news"));
    assert_eq!(engine.channel_info(&news).await.unwrap(), None);
    publish(stage, "news", &["a", "b"]).await;
    enter(stage, 1, member("ann", "")).await;
    let info = engine.channel_info(&news).await.unwrap().unwrap();
    assert_eq!(info.position, position(stage, "news").await);
    assert_eq!((info.history_messages, info.members), (2, 1));
    assert!(info.history_bytes > 2);
    stage.pass(HistoryLimits::default().age).await;
    let info = engine.channel_info(&news).await.unwrap().unwrap();
    assert_eq!((info.history_messages, info.history_bytes), (0, 0));
    engine.health().await.unwrap();
}

pub(super) fn announcement(key: &str, version: u64, content: &'static str) -> Announcement {
    Announcement {
        key: key.to_owned(),
        version,
        content: content.into(),
    }
}

/// What is announced, as `key=content`, in the order of the keys.
pub(super) async fn announced(engine: &dyn Engine) -> String {
    let all = engine.announced().await.unwrap();
    let shown = all.iter().map(|one| {
        let content = std::str::from_utf8(&one.content).unwrap();
        format!("{}={content}", one.key)
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort_unstable();
    shown.join(" ")
}

pub(super) async fn announcements_are_kept_until_their_time(stage: &dyn Stage) {
    let engine = stage.engine();
    let (short, long) = (Duration::from_secs(10), Duration::from_hours(1));
    for (key, keep_for) in [("a", long), ("b", short), ("c", Duration::ZERO)] {
        let one = announcement(key, 1, "x");
        engine.announce(one, keep_for).await.unwrap();
    }
    assert_eq!(announced(engine).await, "a=x b=x");
    stage.pass(short).await;
    assert_eq!(announced(engine).await, "a=x");
    // One that is over is no obstacle to an older version.
    let older = announcement("b", 0, "y");
    engine.announce(older, short).await.unwrap();
    assert_eq!(announced(engine).await, "a=x b=y");
    stage.pass(long).await;
    assert_eq!(announced(engine).await, "");
}

pub(super) async fn the_newest_announcement_of_a_key_counts(stage: &dyn Stage) {
    let engine = stage.engine();
    let hour = Duration::from_hours(1);
    for (version, content, expected) in [
        (5, "first", "a=first"),
        (5, "the same version", "a=the same version"),
        (4, "older", "a=the same version"),
        (6, "newer", "a=newer"),
    ] {
        let one = announcement("a", version, content);
        engine.announce(one, hour).await.unwrap();
        assert_eq!(announced(engine).await, expected);
    }
    let older = announcement("a", 5, "");
    engine.announce(older, Duration::ZERO).await.unwrap();
    assert_eq!(announced(engine).await, "a=newer");
    let gone = announcement("a", 7, "");
    engine.announce(gone, Duration::ZERO).await.unwrap();
    assert_eq!(announced(engine).await, "");
}

pub(super) async fn many_announcements_are_all_read(stage: &dyn Stage) {
    let engine = stage.engine();
    for number in 0..1500 {
        let one = announcement(&format!("key {number}"), 1, "x");
        engine.announce(one, Duration::from_hours(1)).await.unwrap();
    }
    assert_eq!(engine.announced().await.unwrap().len(), 1500);
    stage.pass(Duration::from_hours(1)).await;
    assert_eq!(announced(engine).await, "");
}

/// Runs the whole of this module on the stages that `$stage` makes: each check as a test of its own, or with `together` one after the
/// other, where a test has something that stages share.
macro_rules! conformance_tests {
    (apart; $stage:expr; $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                crate::engine::conformance::$name(&$stage).await;
            }
        )+
    };
    (together; $stage:expr; $($name:ident),+ $(,)?) => {
        $(
            // Shown when it fails.
            println!("{}", stringify!($name));
            crate::engine::conformance::$name(&$stage).await;
        )+
    };
    ($stage:expr) => {
        crate::engine::conformance::conformance_tests!(apart; $stage);
    };
    ($how:ident; $stage:expr) => {
        crate::engine::conformance::conformance_tests! {
            $how; $stage;
            offsets_count_from_one_without_holes,
            what_was_published_is_what_is_delivered_and_replayed,
            each_channel_has_its_own_offsets_and_epoch,
            a_replay_is_everything_after_the_position,
            a_replay_is_read_in_portions,
            what_cannot_be_replayed_is_told,
            a_replay_beyond_the_history_is_a_gap,
            without_history_only_the_present_can_be_resumed,
            expired_messages_are_gone,
            an_unused_channel_is_remembered_for_the_grace_time,
            a_channel_with_subscribers_keeps_its_epoch,
            history_is_read_in_pages_in_both_directions,
            a_page_with_a_gap_starts_with_what_is_held,
            a_repetition_within_the_window_is_published_once,
            members_join_once_and_leave_after_the_grace_time,
            changed_data_is_told,
            channels_in_use_are_listed_in_pages,
            what_is_held_of_a_channel_can_be_asked,
            announcements_are_kept_until_their_time,
            the_newest_announcement_of_a_key_counts,
            many_announcements_are_all_read,
        }
    };
}
pub(super) use conformance_tests;
