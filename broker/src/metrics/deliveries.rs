//! What subscribers were handed or not, counted by the shards: once per message or flush, never per subscriber.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// What a full outbox does; the same words as in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The subscription reads on from the history; the session ends when that no longer reaches back.
    Disconnect,
    /// The oldest messages go.
    DropOldest,
    /// Only the newest message of each channel stays.
    Latest,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    policy: &'static str,
}

impl From<Policy> for PolicyLabels {
    fn from(policy: Policy) -> Self {
        let policy = match policy {
            Policy::Disconnect => "disconnect",
            Policy::DropOldest => "drop_oldest",
            Policy::Latest => "latest",
        };
        Self { policy }
    }
}

/// Figures about deliveries.
#[derive(Debug, Clone)]
pub struct Deliveries {
    /// Messages handed to subscribers: one for each message and subscriber.
    pub messages: Counter,
    /// Bytes of them, framing included, that were written to sockets.
    pub written_bytes: Counter,
    /// Writes to sockets; with `messages` it tells how well frames are batched.
    pub writes: Counter,
    /// Bytes that wait in outboxes now.
    pub outbox_bytes: Gauge,
    /// The fullest any outbox has been.
    outbox_high_water_bytes: Gauge,
    dropped: Family<PolicyLabels, Counter>,
    slow_consumers: Family<PolicyLabels, Counter>,
    flush_delay: Histogram,
}

impl Deliveries {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            messages: Counter::default(),
            written_bytes: Counter::default(),
            writes: Counter::default(),
            outbox_bytes: Gauge::default(),
            outbox_high_water_bytes: Gauge::default(),
            dropped: Family::default(),
            slow_consumers: Family::default(),
            // 100 µs to 26 s.
            flush_delay: Histogram::new(exponential_buckets(0.000_1, 4.0, 10)),
        };
        for policy in [Policy::Disconnect, Policy::DropOldest, Policy::Latest] {
            drop(metrics.dropped.get_or_create(&policy.into()));
            drop(metrics.slow_consumers.get_or_create(&policy.into()));
        }
        metrics.name_volume(registry);
        metrics.name_trouble(registry);
        metrics
    }

    fn name_volume(&self, registry: &mut Registry) {
        registry.register(
            "deliveries",
            "Messages handed to subscribers",
            self.messages.clone(),
        );
        registry.register_with_unit(
            "written",
            "Bytes written to the sockets of sessions",
            Unit::Bytes,
            self.written_bytes.clone(),
        );
        registry.register(
            "writes",
            "Writes to the sockets of sessions",
            self.writes.clone(),
        );
        registry.register_with_unit(
            "flush_delay",
            "Time from the arrival of a message at a shard to the moment when everything there was written",
            Unit::Seconds,
            self.flush_delay.clone(),
        );
    }

    fn name_trouble(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "outbox",
            "Bytes that wait in outboxes now",
            Unit::Bytes,
            self.outbox_bytes.clone(),
        );
        registry.register_with_unit(
            "outbox_high_water",
            "The fullest any one outbox has been since the start",
            Unit::Bytes,
            self.outbox_high_water_bytes.clone(),
        );
        registry.register(
            "messages_dropped",
            "Messages that a full outbox did not take or gave up, by policy",
            self.dropped.clone(),
        );
        registry.register(
            "slow_consumers",
            "Times an outbox became full, by policy",
            self.slow_consumers.clone(),
        );
    }

    /// An outbox was full and gave up this many messages.
    pub fn dropped(&self, policy: Policy, messages: u64) {
        let labels = PolicyLabels::from(policy);
        self.slow_consumers.get_or_create(&labels).inc();
        self.dropped.get_or_create(&labels).inc_by(messages);
    }

    /// A session was ended whose client was too slow.
    pub fn gave_up(&self) {
        let labels = PolicyLabels::from(Policy::Disconnect);
        self.dropped.get_or_create(&labels).inc();
    }

    /// An outbox has held this many bytes.
    pub fn outbox_held(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let high = self.outbox_high_water_bytes.inner();
        // A read first: the mark moves rarely, and a write would bounce the cache line between the shards.
        if high.load(std::sync::atomic::Ordering::Relaxed) < bytes {
            high.fetch_max(bytes, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// A message was written to all its subscribers on a shard, this long after it had come there.
    pub fn flushed(&self, delay: Duration) {
        self.flush_delay.observe(delay.as_secs_f64());
    }
}
