//! What the engine keeps, set by whoever sweeps it.

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
    /// Messages that left a history early, because all histories together were too large.
    pub history_evictions: Counter,
    /// Members present, summed over the channels.
    pub presence_members: Gauge,
}

impl Storage {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            channels: Gauge::default(),
            history_messages: Gauge::default(),
            history_bytes: Gauge::default(),
            history_evictions: Counter::default(),
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
        registry.register(
            "history_evictions",
            "Messages that left a history early because all histories together were too large",
            self.history_evictions.clone(),
        );
        registry.register(
            "presence_members",
            "Members present, summed over the channels",
            self.presence_members.clone(),
        );
    }
}
