//! What clients make the broker hold, set from the account of memory whenever somebody asks for the metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    part: &'static str,
}

/// Figures about what is held for clients.
#[derive(Debug, Clone)]
pub struct Memory {
    parts: Family<PartLabels, Gauge>,
    ceiling: Gauge,
    /// 0 while there is room, 1 while the history gives way, 2 while new work is refused.
    pub pressure: Gauge,
}

impl Memory {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            parts: Family::default(),
            ceiling: Gauge::default(),
            pressure: Gauge::default(),
        };
        registry.register_with_unit(
            "memory",
            "Memory that each part of what clients make the broker hold takes",
            Unit::Bytes,
            metrics.parts.clone(),
        );
        registry.register_with_unit(
            "memory_limit",
            "Memory that the broker may take",
            Unit::Bytes,
            metrics.ceiling.clone(),
        );
        registry.register(
            "memory_pressure",
            "How near the broker is to that: 0 with room, 1 while the history gives way, 2 while new work is refused",
            metrics.pressure.clone(),
        );
        metrics
    }

    /// Sets what a part takes.
    pub fn set_part(&self, part: &'static str, bytes: u64) {
        let part = self.parts.get_or_create(&PartLabels { part });
        part.set(gauge(bytes));
    }

    /// Sets the most that the broker may take.
    pub fn set_limit(&self, bytes: u64) {
        self.ceiling.set(gauge(bytes));
    }
}

fn gauge(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
