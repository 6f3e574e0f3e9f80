//! Sockets, counted by the listener.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Figures about sockets.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Sockets open now, detached ones included.
    pub open: Gauge,
    /// Sockets accepted.
    pub accepted: Counter,
    /// Sockets closed at once, because there are as many as there may be.
    pub refused: Counter,
}

impl Connections {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: Gauge::default(),
            accepted: Counter::default(),
            refused: Counter::default(),
        };
        registry.register("connections", "Sockets open now", metrics.open.clone());
        registry.register(
            "connections_accepted",
            "Sockets accepted",
            metrics.accepted.clone(),
        );
        registry.register(
            "connections_refused",
            "Sockets closed at once because of the connection limit",
            metrics.refused.clone(),
        );
        metrics
    }
}
