//! What publishers sent, counted where they are admitted.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use widecast_protocol::{ChannelName, Code};

use super::per_engine::{EngineLabels, PerEngine};
use crate::config::NamespaceSettings;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
}

impl From<Code> for RefusalLabels {
    fn from(code: Code) -> Self {
        let code = code.as_str();
        Self { code }
    }
}

/// Figures about publications.
#[derive(Debug, Clone)]
pub struct Publications {
    /// Messages accepted, without the duplicates.
    pub accepted: Counter,
    /// Payload bytes of the accepted messages.
    pub payload_bytes: Counter,
    /// Repetitions recognised by their idempotency key, and not published again.
    pub duplicates: Counter,
    refused: Family<RefusalLabels, Counter>,
    duration: PerEngine<Histogram>,
}

impl Publications {
    pub(super) fn register(registry: &mut Registry, namespaces: &NamespaceSettings) -> Self {
        // 25 µs to 6.5 s: from the memory engine to a networked one in trouble.
        let buckets = || Histogram::new(exponential_buckets(0.000_025, 4.0, 10));
        let durations: Family<EngineLabels, Histogram, _> = Family::new_with_constructor(buckets);
        let metrics = Self {
            accepted: Counter::default(),
            payload_bytes: Counter::default(),
            duplicates: Counter::default(),
            refused: Family::default(),
            duration: PerEngine::new(namespaces, |name| {
                durations.get_or_create_owned(&EngineLabels::of(name))
            }),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for &code in Code::ALL {
            drop(metrics.refused.get_or_create(&code.into()));
        }
        metrics.name(registry);
        registry.register_with_unit(
            "publish_duration",
            "Time from admission, with waiting for busy shards, until the engine has ordered a message and handed it over",
            Unit::Seconds,
            durations,
        );
        metrics
    }

    fn name(&self, registry: &mut Registry) {
        registry.register(
            "messages_published",
            "Messages accepted, without duplicates",
            self.accepted.clone(),
        );
        registry.register_with_unit(
            "messages_published",
            "Payload bytes of the accepted messages",
            Unit::Bytes,
            self.payload_bytes.clone(),
        );
        registry.register(
            "messages_duplicate",
            "Repetitions recognised by their idempotency key",
            self.duplicates.clone(),
        );
        registry.register(
            "messages_refused",
            "Messages refused, by code",
            self.refused.clone(),
        );
    }

    /// A message was not accepted.
    pub fn refused(&self, code: Code) {
        self.refused.get_or_create(&code.into()).inc();
    }

    /// A message was accepted on this channel, so long after it had been admitted.
    pub fn took(&self, channel: &ChannelName, duration: Duration) {
        self.duration.of(channel).observe(duration.as_secs_f64());
    }
}
