//! Two nodes on one store under the checks of all engines: without faults, with calls that are slow and fail, and with messages that are
//! lost, delayed and repeated on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use widecast_protocol::{ChannelName, Position};

use super::{Fault, FlakyEngine, FlakyStore, Passage};
use crate::engine::conformance::{
    Heard, IDEMPOTENCY_WINDOW, IDLE_GRACE, PRESENCE_GRACE, Stage, conformance_tests, name,
    publication, texts,
};
use crate::engine::{
    Announcement, Announcements, ChannelInfo, ChannelQuery, ConnectionId, Directory, Engine,
    EngineError, EngineFigures, EngineFuture, HistoryLimits, HistoryPage, HistoryQuery, Interest,
    Lifecycle, ManualClock, MemberList, MemberQuery, MemberStore, MemorySettings, MessageLog,
    Portion, PresenceEntry, Publication, Published, Replay,
};

/// How often a call is repeated that fails: more often than any of these seeds needs.
const ATTEMPTS: usize = 40;

/// Two nodes of one store, used by one who asks them in turn, and the other one where one fails.
struct Pair {
    nodes: [FlakyEngine; 2],
    turn: AtomicUsize,
}

impl Pair {
    fn ask<'a, T: Send + 'a>(
        &'a self,
        call: impl Fn(&'a FlakyEngine) -> EngineFuture<'a, T> + Send + 'a,
    ) -> EngineFuture<'a, T> {
        Box::pin(async move {
            let mut refused = EngineError::unavailable("nobody was asked");
            for _ in 0..ATTEMPTS {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                match call(&self.nodes[turn % 2]).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => refused = error,
                }
            }
            Err(refused)
        })
    }
}

impl MessageLog for Pair {
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published> {
        self.ask(move |node| node.publish(publication.clone()))
    }

    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position> {
        self.ask(move |node| node.position(channel, limits))
    }

    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay> {
        self.ask(move |node| node.replay(channel, since, portion))
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage> {
        self.ask(move |node| node.history(channel, query))
    }
}

impl MemberStore for Pair {
    fn enter<'a>(&'a self, channel: &'a ChannelName, entry: PresenceEntry) -> EngineFuture<'a, ()> {
        self.ask(move |node| node.enter(channel, entry.clone()))
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        connection: ConnectionId,
    ) -> EngineFuture<'a, ()> {
        self.ask(move |node| node.exit(channel, connection))
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: &'a MemberQuery,
    ) -> EngineFuture<'a, MemberList> {
        self.ask(move |node| node.members(channel, query))
    }
}

impl Interest for Pair {
    fn interested<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            for node in &self.nodes {
                while node.interested(channel).await.is_err() {}
            }
            Ok(())
        })
    }

    fn uninterested(&self, channel: &ChannelName) {
        for node in &self.nodes {
            node.uninterested(channel);
        }
    }
}

impl Directory for Pair {
    fn channels(&self, query: ChannelQuery) -> EngineFuture<'_, Vec<ChannelName>> {
        self.ask(move |node| node.channels(query.clone()))
    }

    fn channel_info<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> EngineFuture<'a, Option<ChannelInfo>> {
        self.ask(move |node| node.channel_info(channel))
    }
}

impl Announcements for Pair {
    fn lease(&self) -> Option<Duration> {
        self.nodes[0].lease()
    }

    fn announce(&self, announcement: Announcement, keep_for: Duration) -> EngineFuture<'_, ()> {
        self.ask(move |node| node.announce(announcement.clone(), keep_for))
    }

    fn announced(&self) -> EngineFuture<'_, Vec<Announcement>> {
        self.ask(FlakyEngine::announced)
    }
}

impl Lifecycle for Pair {
    fn figures(&self) -> EngineFigures {
        self.nodes[0].figures()
    }

    fn bound_history(&self, bytes: u64) {
        self.nodes[0].bound_history(bytes);
    }

    fn health(&self) -> EngineFuture<'_, ()> {
        self.ask(FlakyEngine::health)
    }

    fn close(&self) -> EngineFuture<'_, ()> {
        self.ask(FlakyEngine::close)
    }
}

struct PairStage {
    pair: Pair,
    store: Arc<FlakyStore>,
    clock: Arc<ManualClock>,
    /// What each node was told; the checks look at the first.
    heard: [Arc<Heard>; 2],
}

impl PairStage {
    /// Two nodes without faults.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let settings = MemorySettings {
            idle_grace: IDLE_GRACE,
            presence_grace: PRESENCE_GRACE,
            idempotency_window: IDEMPOTENCY_WINDOW,
            ..MemorySettings::default()
        };
        let store = FlakyStore::new(settings, Arc::clone(&clock) as _);
        let heard: [Arc<Heard>; 2] = Default::default();
        let nodes = heard
            .each_ref()
            .map(|heard| store.node(Arc::clone(heard) as _));
        let turn = AtomicUsize::new(0);
        Self {
            pair: Pair { nodes, turn },
            store,
            clock,
            heard,
        }
    }

    /// Three of ten calls fail, and three are slow; of those that publish none loses its answer, since what is published without an
    /// idempotency key cannot be repeated then.
    fn failing(seed: u64) -> Self {
        let stage = Self::new();
        for (number, node) in (0..).zip(&stage.pair.nodes) {
            let mut random = SmallRng::seed_from_u64(seed ^ number);
            node.set_faults(move |call| match random.random_range(0..10) {
                0 if call != "publish" => Some(Fault::LosesAnswer),
                0..3 => Some(Fault::Fails),
                3..6 => Some(Fault::Slow(
                    random.random_range(0..4),
                    random.random_range(0..4),
                )),
                _ => None,
            });
        }
        stage
    }

    /// The same, and every second message does not just arrive.
    fn lossy(seed: u64) -> Self {
        let stage = Self::failing(seed);
        for (number, node) in (0..).zip(&stage.pair.nodes) {
            let mut random = SmallRng::seed_from_u64(seed ^ number);
            node.delivery
                .set_passages(move |_| match random.random_range(0..8) {
                    0 => Passage::IsLost,
                    1 => Passage::IsDoubled,
                    2 => Passage::IsRepeated,
                    3 => Passage::IsDelayed,
                    _ => Passage::Arrives,
                });
        }
        stage
    }
}

impl Stage for PairStage {
    fn engine(&self) -> &dyn Engine {
        &self.pair
    }

    fn heard(&self) -> &Heard {
        &self.heard[0]
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.clock.pass(time);
        self.store.memory.sweep();
        Box::pin(async {})
    }

    fn settle(&self) {
        for node in &self.pair.nodes {
            node.delivery.settle();
        }
    }
}

mod two_nodes_conform {
    use super::*;

    conformance_tests!(PairStage::new());
}

mod two_nodes_that_fail_conform {
    use super::*;

    conformance_tests!(PairStage::failing(1));
}

mod two_nodes_that_lose_messages_conform {
    use super::*;

    conformance_tests!(lossy; PairStage::lossy(1));
}

#[tokio::test]
async fn whatever_becomes_of_messages_each_is_delivered_or_told_as_lost() {
    for seed in 0..200 {
        // Shown when it fails.
        eprintln!("seed {seed}");
        let stage = PairStage::lossy(seed);
        crate::engine::conformance::everything_is_delivered_or_told_as_lost(&stage).await;
    }
}

#[tokio::test]
async fn a_node_hears_what_is_published_at_another_for_as_long_as_it_is_interested() {
    let stage = PairStage::new();
    let [here, there] = &stage.pair.nodes;
    let news = name("news");
    here.interested(&news).await.unwrap();
    there.interested(&news).await.unwrap();
    let published = there.publish(publication("news", "a")).await.unwrap();
    assert_eq!(published.subscribers, 1, "those of the node alone");
    here.uninterested(&news);
    there.publish(publication("news", "b")).await.unwrap();
    stage.pass(3 * IDLE_GRACE).await;
    // The other node still keeps the channel.
    there.publish(publication("news", "c")).await.unwrap();
    assert_eq!(texts(&stage.heard[0].messages()), ["a"]);
    assert_eq!(texts(&stage.heard[1].messages()), ["a", "b", "c"]);
    let newest = here.position(&news, HistoryLimits::default()).await;
    assert_eq!(newest.unwrap().offset.0, 3);
}

#[tokio::test]
async fn what_is_delayed_delays_its_own_channel_alone_and_repetitions_come_last() {
    let stage = PairStage::new();
    let [node, _] = &stage.pair.nodes;
    for channel in ["a", "b"] {
        node.interested(&name(channel)).await.unwrap();
    }
    let passages = [
        Passage::IsRepeated,
        Passage::IsDelayed,
        Passage::Arrives,
        Passage::IsLost,
        Passage::IsDoubled,
        Passage::IsDoubled,
    ];
    let mut passages = passages.into_iter();
    node.delivery.set_passages(move |_| {
        let next = passages.next();
        next.unwrap_or(Passage::Arrives)
    });
    for (channel, text) in [
        ("a", "a1"),
        ("a", "a2"),
        ("a", "a3"),
        ("b", "b1"),
        ("b", "b2"),
        ("a", "a4"),
    ] {
        node.publish(publication(channel, text)).await.unwrap();
    }
    assert_eq!(texts(&stage.heard[0].messages()), ["a1", "b2", "b2"]);
    node.delivery.settle();
    let heard = stage.heard[0].messages();
    let expected = ["a1", "b2", "b2", "a2", "a3", "a4", "a4", "a1"];
    assert_eq!(texts(&heard), expected);
}
