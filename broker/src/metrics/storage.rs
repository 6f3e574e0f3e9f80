//! What the engine keeps, set from its figures whenever somebody asks for the metrics.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Figures about what the engine keeps.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Channels that have subscribers or history.
    pub channels: Gauge,
    /// Messages in the histories of all channels.
    pub history_messages: Gauge,
    /// Bytes of memory these take.
    pub history_bytes: Gauge,
    /// Bytes of these that had to go early, because all histories together were too large.
    evicted_bytes: Counter,
    /// Members present, summed over the channels.
    pub presence_members: Gauge,
}

impl Storage {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            channels: Gauge::default(),
            history_messages: Gauge::default(),
            history_bytes: Gauge::default(),
            evicted_bytes: Counter::default(),
            presence_members: Gauge::default(),
        };
        metrics.name(registry);
        metrics
    }

    fn name(&self, registry: &mut Registry) {
        registry.register(
            "channels",
            "Channels that have subscribers or history",
            self.channels.clone(),
        );
        registry.register(
            "history_messages",
            "Messages in the histories of all channels",
            self.history_messages.clone(),
        );
        registry.register_with_unit(
            "history",
            "Memory that the histories of all channels take",
            Unit::Bytes,
            self.history_bytes.clone(),
        );
        registry.register_with_unit(
            "history_evicted",
            "Bytes that left a history early because all histories together were too large",
            Unit::Bytes,
            self.evicted_bytes.clone(),
        );
        registry.register(
            "presence_members",
            "Members present, summed over the channels",
            self.presence_members.clone(),
        );
    }

    /// Sets the bytes that had to go early since the start.
    pub fn set_evicted_bytes(&self, total: u64) {
        self.evicted_bytes.inner().store(total, Ordering::Relaxed);
    }
}
