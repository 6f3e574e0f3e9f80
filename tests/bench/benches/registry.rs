//! What the registry's part of a delivery costs: from the publication through the shard's mailbox into 1,000 outboxes, and
//! out again, without sockets. The kernel's part is measured by `widecast-bench fan-out`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::System;
use criterion::{Criterion, Throughput};
use widecast::config::SlowConsumerPolicy;
use widecast::engine::{
    ConnectionId, Deliver, Engine, HistoryLimits, MemoryEngine, MemorySettings, Publication,
    SystemClock,
};
use widecast::metrics::Metrics;
use widecast::registry::{
    CursorForm, Destination, GapForm, Outbox, OutboxForm, Routes, Shard, SubscriptionHandle,
};
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Origin, Payload};

const SUBSCRIBERS: usize = 1_000;

const OUTBOX_BYTES: usize = 1 << 20;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("registry: 1 channel × 1000");
    for wire in [Wire::RawWebSocket, Wire::JsonWebSocket] {
        for burst in [1, 8] {
            group.throughput(Throughput::Elements((SUBSCRIBERS * burst) as u64));
            group.bench_function(format!("{wire:?}, {burst} in flight"), |bencher| {
                bencher.iter_custom(|rounds| {
                    System::new().block_on(async {
                        let bench = Registry::open(wire).await;
                        bench.time(rounds, burst).await
                    })
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

/// An engine, one shard, and subscribers whose outboxes nobody writes to a socket.
struct Registry {
    engine: Arc<dyn Engine>,
    channel: ChannelName,
    outboxes: Vec<Rc<Outbox>>,
    _handles: Vec<SubscriptionHandle>,
}

impl Registry {
    async fn open(wire: Wire) -> Self {
        let routes = Routes::new();
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new(
            MemorySettings::default(),
            Arc::new(SystemClock),
            Arc::clone(&routes) as Arc<dyn Deliver>,
        ));
        let shard = Shard::start(
            &routes,
            &engine,
            &Arc::new(Metrics::new()),
            Duration::from_secs(10),
        );
        let channel = ChannelName::parse("bench").expect("the name is short");
        let mut outboxes = Vec::with_capacity(SUBSCRIBERS);
        let mut handles = Vec::with_capacity(SUBSCRIBERS);
        for _ in 0..SUBSCRIBERS {
            let form = OutboxForm {
                wire,
                gap: GapForm::Noted,
                cursors: CursorForm::OfEach,
            };
            let outbox = Outbox::new(
                Rc::clone(shard.flush_list()),
                OUTBOX_BYTES,
                form,
                ConnectionId(0),
            );
            let destination = Destination {
                outbox: Rc::clone(&outbox),
                sender: None,
                lane: outbox.lane(),
                policy: SlowConsumerPolicy::Disconnect,
                presence: None,
            };
            let handle = shard.join(&channel, destination);
            let position = engine
                .position(&channel, HistoryLimits::default())
                .await
                .expect("the memory engine does not fail");
            handle.begin(position, true);
            outboxes.push(outbox);
            handles.push(handle);
        }
        Self {
            engine,
            channel,
            outboxes,
            _handles: handles,
        }
    }

    /// Publishes a burst and waits until every outbox has it, so many times.
    async fn time(&self, rounds: u64, burst: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..rounds {
            for _ in 0..burst {
                let published = self.engine.publish(self.publication()).await;
                published.expect("the memory engine does not fail");
            }
            for outbox in &self.outboxes {
                let mut frames = 0;
                while frames < burst {
                    let taken = outbox.take().len();
                    if taken == 0 {
                        // The shard has its turn.
                        actix_rt::task::yield_now().await;
                    }
                    frames += taken;
                }
            }
        }
        start.elapsed()
    }

    fn publication(&self) -> Publication {
        Publication {
            channel: self.channel.clone(),
            payload: Payload::text("x".repeat(128)),
            event: None,
            origin: Origin::unknown(),
            sender: None,
            idempotency_key: None,
            id: None,
            history: HistoryLimits::default(),
        }
    }
}
