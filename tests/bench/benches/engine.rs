//! What ordering and keeping a message costs in the memory engine, without delivery: once for each publication.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::Criterion;
use widecast::engine::{
    Deliver, HistoryLimits, MemoryEngine, MemorySettings, MessageLog, NumberedChange, Portion,
    Publication, SystemClock,
};
use widecast_protocol::encoded::EncodedMessage;
use widecast_protocol::{ChannelName, IdempotencyKey, Origin, Payload, Position};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    publications(&mut criterion);
    evictions(&mut criterion);
    replays(&mut criterion);
    criterion.final_summary();
}

/// Nobody subscribes.
struct Nobody;

impl Deliver for Nobody {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        drop(black_box(message));
        0
    }

    fn presence(&self, _channel: &ChannelName, _change: NumberedChange) {}

    fn lost(&self, _channel: &ChannelName) {}
}

fn engine() -> MemoryEngine {
    engine_with(MemorySettings::default())
}

fn engine_with(settings: MemorySettings) -> MemoryEngine {
    MemoryEngine::new(settings, Arc::new(SystemClock), Arc::new(Nobody))
}

/// The answer of a future of the memory engine, which never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory engine answers at once"),
    }
}

fn channel(number: u64) -> ChannelName {
    ChannelName::parse(&format!("bench-{number}")).expect("the name is short")
}

fn publication(channel: &ChannelName) -> Publication {
    Publication {
        channel: channel.clone(),
        payload: Payload::text("x".repeat(128)),
        event: None,
        origin: Origin::unknown(),
        sender: None,
        idempotency_key: None,
        id: None,
        history: HistoryLimits::default(),
    }
}

fn publications(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory engine: publish");
    for channels in [1, 10_000] {
        let engine = engine();
        let drafts: Vec<_> = (0..channels)
            .map(|number| publication(&channel(number)))
            .collect();
        let mut turn = drafts.iter().cycle();
        group.bench_function(format!("{channels} channels, full history"), |bencher| {
            bencher.iter(|| turn.next().map(|draft| now(engine.publish(draft.clone()))));
        });
    }
    let without_history = HistoryLimits {
        messages: 0,
        ..HistoryLimits::default()
    };
    let keyless = Publication {
        history: without_history,
        ..publication(&channel(0))
    };
    let memory = engine();
    group.bench_function("1 channel, no history", |bencher| {
        bencher.iter(|| now(memory.publish(keyless.clone())));
    });
    let mut number = 0_u64;
    let memory = engine();
    group.bench_function("1 channel, a new idempotency key each", |bencher| {
        bencher.iter(|| {
            number += 1;
            let key = IdempotencyKey::parse(&number.to_string()).expect("a number is a key");
            now(memory.publish(Publication {
                idempotency_key: Some(key),
                ..publication(&channel(0))
            }))
        });
    });
    group.finish();
}

/// Each publication has to evict the oldest message of all channels, which is in another channel.
fn evictions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory engine: publish beyond the total");
    for channels in [1000, 100_000] {
        let engine = engine_with(MemorySettings {
            history_bytes: 1024 * channels,
            ..MemorySettings::default()
        });
        let drafts: Vec<_> = (0..channels)
            .map(|number| publication(&channel(number)))
            .collect();
        let mut turn = drafts.iter().cycle();
        for draft in turn.by_ref().take(2 * drafts.len()) {
            drop(now(engine.publish(draft.clone())));
        }
        group.bench_function(format!("{channels} channels"), |bencher| {
            bencher.iter(|| turn.next().map(|draft| now(engine.publish(draft.clone()))));
        });
    }
    group.finish();
}

fn replays(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory engine: replay");
    let engine = engine();
    let channel = channel(0);
    let start = now(engine.position(&channel, HistoryLimits::default()))
        .expect("the memory engine does not fail");
    for _ in 0..200 {
        now(engine.publish(publication(&channel))).expect("the memory engine does not fail");
    }
    let portion = Portion {
        messages: 200,
        bytes: u64::MAX,
    };
    for missed in [0, 10, 200] {
        let since = Position {
            offset: widecast_protocol::Offset(200 - missed),
            ..start
        };
        group.bench_function(format!("{missed} messages"), |bencher| {
            bencher.iter(|| now(engine.replay(&channel, since, portion)));
        });
    }
    group.finish();
}
