//! The memory engine: what every engine does, its bounds, and its order under threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::sync::Notify;
use widecast_protocol::{
    ChannelName, EncodedMessage, IdempotencyKey, Member, Offset, Payload, Position,
};

use super::schedule::Upkeep;
use super::{MemoryEngine, MemorySettings};
use crate::engine::clock::ManualClock;
use crate::engine::conformance::{
    ALL, EVERYBODY, Heard, IDEMPOTENCY_WINDOW, IDLE_GRACE, PRESENCE_GRACE, Stage,
    conformance_tests, name, publication, texts,
};
use crate::engine::{
    ChannelQuery, Clock, ConnectionId, Deliver, Directory, Engine, EngineFigures, EngineFuture,
    HistoryLimits, Interest, Lifecycle, MemberStore, MessageLog, NumberedChange, PresenceChange,
    PresenceEntry, Publication, SystemClock,
};

struct MemoryStage {
    engine: MemoryEngine,
    heard: Arc<Heard>,
    clock: Arc<ManualClock>,
}

impl MemoryStage {
    fn new(settings: MemorySettings) -> Self {
        let heard = Arc::new(Heard::default());
        let clock = Arc::new(ManualClock::new());
        let engine = MemoryEngine::new(settings, clock.clone(), heard.clone());
        Self {
            engine,
            heard,
            clock,
        }
    }

    fn publish(&self, channel: &str, text: &str) -> Position {
        now(self.engine.publish(publication(channel, text))).position
    }

    fn position(&self, channel: &str) -> Position {
        now(self
            .engine
            .position(&name(channel), HistoryLimits::default()))
    }

    /// The texts after the start of the channel, unless some are gone.
    fn replay_all(&self, channel: &str) -> Option<Vec<String>> {
        let offset = Offset(0);
        let start = Position {
            offset,
            ..self.position(channel)
        };
        let replay = now(self.engine.replay(&name(channel), start, ALL));
        let texts = texts(&replay.messages).into_iter().map(str::to_owned);
        replay.recovered.then(|| texts.collect())
    }
}

/// The memory engine never waits.
fn now<T>(future: EngineFuture<'_, T>) -> T {
    future.now_or_never().unwrap().unwrap()
}

impl Stage for MemoryStage {
    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn heard(&self) -> &Heard {
        &self.heard
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.clock.pass(time);
        self.engine.sweep();
        Box::pin(async {})
    }
}

fn settings() -> MemorySettings {
    MemorySettings {
        idle_grace: IDLE_GRACE,
        presence_grace: PRESENCE_GRACE,
        idempotency_window: IDEMPOTENCY_WINDOW,
        ..MemorySettings::default()
    }
}

mod conforms {
    use super::*;

    conformance_tests!(MemoryStage::new(settings()));
}

/// What the messages of these tests, and a channel that has any, take of the total.
struct Weights {
    message: u64,
    channel: u64,
}

fn weights() -> Weights {
    let stage = MemoryStage::new(settings());
    stage.publish("a", "1");
    let one = stage.engine.figures().history_bytes;
    stage.publish("a", "2");
    let message = stage.engine.figures().history_bytes - one;
    Weights {
        message,
        channel: one - message,
    }
}

#[test]
fn beyond_the_total_the_oldest_message_of_all_channels_is_evicted() {
    let Weights { message, channel } = weights();
    let total = 4 * message + 3 * channel;
    let stage = MemoryStage::new(MemorySettings {
        history_bytes: total,
        ..settings()
    });
    for (channel, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
        stage.publish(channel, text);
        stage.clock.pass(Duration::from_secs(1));
    }
    assert_eq!(stage.replay_all("a").unwrap(), ["1", "3"]);
    stage.publish("c", "5");
    assert_eq!(stage.replay_all("a"), None);
    assert_eq!(stage.replay_all("b").unwrap(), ["2"]);
    stage.publish("d", "6");
    assert_eq!(stage.replay_all("b"), None);
    assert_eq!(stage.replay_all("c").unwrap(), ["4", "5"]);
    assert_eq!(stage.engine.figures().history_bytes, total);
    // "1" and "2", and channel "b".
    let evicted = 2 * message + channel;
    assert_eq!(stage.engine.figures().evicted_bytes, evicted);
}

#[test]
fn the_total_holds_with_messages_of_any_size_and_many_channels() {
    let Weights { message, channel } = weights();
    let total = 100 * (message + channel);
    let stage = MemoryStage::new(MemorySettings {
        history_bytes: total,
        ..settings()
    });
    for round in 0..3000_usize {
        let text = "x".repeat(round * 7919 % 5000);
        stage.publish(&format!("room:{}", round * 31 % 97), &text);
        stage.clock.pass(Duration::from_millis(1));
        assert!(
            stage.engine.figures().history_bytes <= total,
            "round {round}"
        );
    }
    assert!(stage.engine.figures().history_bytes > total / 2);
}

#[test]
fn a_message_larger_than_the_total_is_delivered_and_not_held() {
    let stage = MemoryStage::new(MemorySettings {
        history_bytes: 10,
        ..settings()
    });
    stage.publish("a", "1");
    assert_eq!(stage.engine.figures().history_bytes, 0);
    assert_eq!(texts(&stage.heard.messages()), ["1"]);
}

#[test]
fn a_busy_channel_knows_what_was_published_a_minute_ago() {
    let stage = MemoryStage::new(settings());
    let publish = |number: usize| {
        now(stage.engine.publish(Publication {
            idempotency_key: IdempotencyKey::parse(&format!("key-{number}")).ok(),
            ..publication("a", "x")
        }))
    };
    let first = publish(0);
    // 500 messages a second.
    for number in 1..=60 * 500 {
        stage.clock.pass(Duration::from_millis(2));
        publish(number);
    }
    let again = publish(0);
    assert_eq!((again.duplicate, again.position), (true, first.position));
}

#[test]
fn idempotency_keys_count_in_the_total() {
    let stage = MemoryStage::new(MemorySettings {
        history_bytes: 100_000,
        ..settings()
    });
    for number in 0..2000 {
        now(stage.engine.publish(Publication {
            idempotency_key: IdempotencyKey::parse(&format!("key-{number}")).ok(),
            history: HistoryLimits {
                messages: 0,
                ..HistoryLimits::default()
            },
            ..publication("a", "x")
        }));
    }
    assert!((50_000..=100_000).contains(&stage.engine.figures().history_bytes));
    stage.clock.pass(IDEMPOTENCY_WINDOW);
    stage.engine.sweep();
    assert_eq!(stage.engine.figures().history_bytes, 0);
}

#[test]
fn everything_is_forgotten_in_the_end() {
    let stage = MemoryStage::new(settings());
    for channel in 0..100 {
        let channel = format!("room:{channel}");
        stage.publish(&channel, "x");
        stage.position(&format!("{channel}:unused"));
    }
    assert_eq!(stage.engine.channels.len(), 200);
    for _ in 0..4 {
        stage.clock.pass(IDLE_GRACE);
        while stage
            .engine
            .sweep()
            .is_some_and(|at| at <= stage.clock.now())
        {}
    }
    assert_eq!(stage.engine.channels.len(), 0);
    assert_eq!(stage.engine.figures().history_bytes, 0);
    assert_eq!(stage.engine.accounts.idle(), 0);
    assert_eq!(stage.engine.sweep(), None);
    assert_eq!(stage.engine.accounts.schedule.len(), 0);
}

#[test]
fn channels_that_are_named_once_are_bounded_in_number() {
    let stage = MemoryStage::new(MemorySettings {
        idle_channels: 50,
        ..settings()
    });
    now(stage.engine.interested(&name("in use")));
    for channel in 0..1000 {
        stage.position(&format!("once:{channel}"));
        stage.clock.pass(Duration::from_millis(1));
    }
    assert_eq!(stage.engine.channels.len(), 51);
    assert_eq!(stage.engine.accounts.schedule.len(), 50);
    assert!(now(stage.engine.channel_info(&name("once:999"))).is_some());
    assert!(now(stage.engine.channel_info(&name("in use"))).is_some());
}

#[test]
fn a_sweep_is_a_slice() {
    let stage = MemoryStage::new(settings());
    for channel in 0..1000 {
        stage.position(&format!("once:{channel}"));
    }
    stage.clock.pass(IDLE_GRACE);
    let next = stage.engine.sweep();
    assert!(next.is_some_and(|at| at <= stage.clock.now()));
    assert!((500..1000).contains(&stage.engine.channels.len()));
}

#[test]
fn a_sweep_tells_when_the_next_is_due() {
    let stage = MemoryStage::new(settings());
    let start = stage.clock.now();
    stage.publish("a", "x");
    assert_eq!(
        stage.engine.sweep(),
        Some(start + HistoryLimits::default().age)
    );
    now(stage.engine.enter(&name("a"), entry(1)));
    now(stage.engine.exit(&name("a"), ConnectionId(1)));
    assert_eq!(stage.engine.sweep(), Some(start + PRESENCE_GRACE));
}

fn entry(connection: u64) -> PresenceEntry {
    PresenceEntry {
        connection: ConnectionId(connection),
        member: Member {
            id: connection.to_string(),
            data: Payload::text(""),
        },
    }
}

#[test]
fn many_members_may_leave_at_once() {
    let stage = MemoryStage::new(settings());
    for connection in 0..1000 {
        now(stage.engine.enter(&name("a"), entry(connection)));
    }
    for connection in 0..1000 {
        now(stage.engine.exit(&name("a"), ConnectionId(connection)));
    }
    stage.clock.pass(PRESENCE_GRACE);
    stage.engine.sweep();
    assert_eq!(
        now(stage.engine.members(&name("a"), &EVERYBODY))
            .list
            .members,
        []
    );
}

#[test]
fn without_a_grace_time_a_member_leaves_at_once() {
    let stage = MemoryStage::new(MemorySettings {
        presence_grace: Duration::ZERO,
        ..settings()
    });
    now(stage.engine.enter(&name("a"), entry(1)));
    now(stage.engine.exit(&name("a"), ConnectionId(1)));
    assert_eq!(
        now(stage.engine.members(&name("a"), &EVERYBODY))
            .list
            .members,
        []
    );
}

#[test]
fn timestamps_never_go_back_within_a_channel() {
    let stage = MemoryStage::new(settings());
    stage.publish("a", "1");
    stage.clock.set_wall_ms(5);
    stage.publish("a", "2");
    stage.publish("b", "3");
    let heard = stage.heard.messages();
    let stamps: Vec<_> = heard.iter().map(|m| m.message().timestamp_ms).collect();
    assert_eq!(stamps[0], stamps[1]);
    assert_eq!(stamps[2], 5);
}

#[test]
fn a_history_of_forever_does_not_overflow() {
    let stage = MemoryStage::new(settings());
    let published = now(stage.engine.publish(Publication {
        history: HistoryLimits {
            age: Duration::MAX,
            ..HistoryLimits::default()
        },
        ..publication("a", "x")
    }));
    stage.clock.pass(Duration::from_hours(24 * 365));
    stage.engine.sweep();
    let offset = Offset(0);
    let start = Position {
        offset,
        ..published.position
    };
    assert!(now(stage.engine.replay(&name("a"), start, ALL)).recovered);
}

/// What the accounts say of all channels is what the channels say.
fn audit(engine: &MemoryEngine) {
    let (mut bytes, mut idle, mut scheduled) = (0, 0, 0);
    let (mut messages, mut members) = (0, 0);
    let mut in_use = Vec::new();
    for slot in &engine.channels {
        assert_eq!(slot.bytes, slot.channel.bytes());
        assert_eq!(slot.in_use, slot.channel.in_use());
        bytes += slot.bytes;
        messages += slot.channel.held_messages() as u64;
        members += slot.channel.held_members() as u64;
        idle += usize::from(!slot.in_use);
        if slot.in_use {
            in_use.push(slot.key().clone());
        }
        let made = Upkeep::ALL.map(|upkeep| slot.scheduled.get(upkeep).is_some());
        scheduled += made.iter().filter(|&&made| made).count();
    }
    in_use.sort_unstable();
    assert_eq!(engine.figures().history_bytes, bytes);
    assert_eq!(engine.accounts.idle(), idle);
    assert_eq!(engine.accounts.schedule.len(), scheduled);
    let figures = EngineFigures {
        channels: in_use.len() as u64,
        idle_channels: idle as u64,
        history_messages: messages,
        history_bytes: bytes,
        evicted_bytes: engine.figures().evicted_bytes,
        members,
        ..EngineFigures::default()
    };
    assert_eq!(engine.figures(), figures);
    assert_eq!(now(engine.channels(every_channel())), in_use);
}

fn every_channel() -> ChannelQuery {
    ChannelQuery {
        prefix: String::new(),
        after: None,
        limit: usize::MAX,
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Publish { key: Option<u8>, bytes: usize },
    Look,
    Interested,
    Uninterested,
    Enter { connection: u64 },
    Exit { connection: u64 },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::option::of(0..5_u8), 0..2000_usize)
            .prop_map(|(key, bytes)| Step::Publish { key, bytes }),
        1 => Just(Step::Look),
        1 => Just(Step::Interested),
        1 => Just(Step::Uninterested),
        1 => (0..4_u64).prop_map(|connection| Step::Enter { connection }),
        1 => (0..4_u64).prop_map(|connection| Step::Exit { connection }),
        2 => Just(Step::Sweep),
    ]
}

fn take(stage: &MemoryStage, channel: &ChannelName, step: Step) {
    let engine = &stage.engine;
    match step {
        Step::Publish { key, bytes } => {
            let key = key.map(|key| key.to_string());
            now(engine.publish(Publication {
                idempotency_key: key.and_then(|key| IdempotencyKey::parse(&key).ok()),
                ..publication(channel.as_str(), &"x".repeat(bytes))
            }));
        }
        Step::Look => drop(now(engine.position(channel, HistoryLimits::default()))),
        Step::Interested => now(engine.interested(channel)),
        Step::Uninterested => engine.uninterested(channel),
        Step::Enter { connection } => now(engine.enter(channel, entry(connection))),
        Step::Exit { connection } => now(engine.exit(channel, ConnectionId(connection))),
        Step::Sweep => drop(engine.sweep()),
    }
}

proptest! {
    #[test]
    fn the_accounts_agree_with_the_channels(
        steps in prop::collection::vec((0..100_u64, 0..8_u8, step()), 1..80)
    ) {
        let stage = MemoryStage::new(MemorySettings {
            history_bytes: 10_000,
            idle_channels: 2,
            ..settings()
        });
        for (seconds, channel, step) in steps {
            stage.clock.pass(Duration::from_secs(seconds));
            take(&stage, &name(&channel.to_string()), step);
            audit(&stage.engine);
            prop_assert!(stage.engine.figures().history_bytes <= 10_000);
            prop_assert!(stage.engine.accounts.idle() <= 10);
        }
    }
}

/// Two shards, each with its own record of what it heard: the order must be the same.
#[derive(Default)]
struct TwoShards([Mutex<HashMap<ChannelName, Vec<Position>>>; 2]);

impl Deliver for TwoShards {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        for shard in &self.0 {
            let mut heard = shard.lock().unwrap();
            let channel = message.message().channel.clone();
            heard.entry(channel).or_default().push(message.position());
        }
        2
    }

    fn presence(&self, _: &ChannelName, _: NumberedChange) {}

    fn lost(&self, _: &ChannelName) {}
}

fn threads(count: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..count {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
}

#[test]
fn four_publishers_are_heard_in_one_order_without_holes() {
    let shards = Arc::new(TwoShards::default());
    let engine = MemoryEngine::new(settings(), Arc::new(SystemClock), shards.clone());
    threads(4, |_| {
        for _ in 0..2000 {
            now(engine.publish(publication("news", "x")));
        }
    });
    let [one, other] = &shards.0;
    let one = one.lock().unwrap();
    assert_eq!(*one, *other.lock().unwrap());
    let offsets = one[&name("news")].iter().map(|position| position.offset.0);
    assert!(offsets.eq(1..=8000));
}

#[test]
fn many_channels_published_in_parallel_lose_nothing_while_swept() {
    let shards = Arc::new(TwoShards::default());
    let clock = Arc::new(ManualClock::new());
    // Everything at its edge: channels are forgotten, messages evicted and expired all the time.
    let edge = MemorySettings {
        history_bytes: 30 * (weights().message + weights().channel),
        idle_channels: 5,
        idle_grace: Duration::from_millis(3),
        ..settings()
    };
    let limits = HistoryLimits {
        age: Duration::from_millis(2),
        ..HistoryLimits::default()
    };
    let engine = MemoryEngine::new(edge, clock.clone(), shards.clone());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                clock.pass(Duration::from_millis(1));
                engine.sweep();
            }
        });
        threads(4, |thread| {
            for round in 0..3000 {
                now(engine.publish(Publication {
                    history: limits,
                    ..publication(&format!("room:{}", (round * 7 + thread) % 40), "x")
                }));
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    let heard = shards.0[0].lock().unwrap();
    assert_eq!(heard.values().map(Vec::len).sum::<usize>(), 12_000);
    for positions in heard.values() {
        for pair in positions.windows(2) {
            let next = if pair[0].epoch == pair[1].epoch {
                pair[0].offset.next()
            } else {
                Offset(1)
            };
            assert_eq!(pair[1].offset, next);
        }
    }
    audit(&engine);
    for _ in 0..200 {
        clock.pass(Duration::from_secs(1));
        engine.sweep();
    }
    assert_eq!(
        (engine.channels.len(), engine.figures().history_bytes),
        (0, 0)
    );
    assert_eq!(
        (engine.accounts.idle(), engine.accounts.schedule.len()),
        (0, 0)
    );
    audit(&engine);
    assert_eq!(now(engine.channels(every_channel())), []);
}

/// Tells when somebody left.
#[derive(Default)]
struct Gone(Notify);

impl Deliver for Gone {
    fn deliver(&self, _: Arc<EncodedMessage>) -> u64 {
        0
    }

    fn presence(&self, _: &ChannelName, change: NumberedChange) {
        if matches!(change.change, PresenceChange::Left(_)) {
            self.0.notify_one();
        }
    }

    fn lost(&self, _: &ChannelName) {}
}

#[tokio::test]
async fn tending_does_what_is_due_and_ends_with_the_engine() {
    let gone = Arc::new(Gone::default());
    let settings = MemorySettings {
        presence_grace: Duration::from_millis(1),
        ..settings()
    };
    let engine = MemoryEngine::new(settings, Arc::new(SystemClock), gone.clone());
    let engine = Arc::new(engine);
    let tending = tokio::spawn(engine.run_upkeep());
    now(engine.enter(&name("a"), entry(1)));
    now(engine.exit(&name("a"), ConnectionId(1)));
    let deadline = Duration::from_secs(10);
    tokio::time::timeout(deadline, gone.0.notified())
        .await
        .unwrap();
    drop(engine);
    tokio::time::timeout(deadline, tending)
        .await
        .unwrap()
        .unwrap();
}
