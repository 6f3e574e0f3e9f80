//! Sockets, counted by the listener, and clients that were waited for in vain.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::limits::{Limit, Limits};

/// What a client was too slow with, so that the broker waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slowness {
    /// Nothing has come on a new connection.
    Opening,
    /// The header of the PROXY protocol has not come as a whole.
    ProxyHeader,
    /// The head of a request, that of a WebSocket handshake for example, has come in part.
    Head,
    /// The body of a request came too slowly.
    Body,
    /// A WebSocket message came too slowly.
    Message,
    /// The client took its answer too slowly.
    Answer,
}

impl Slowness {
    const ALL: [Self; 6] = [
        Self::Opening,
        Self::ProxyHeader,
        Self::Head,
        Self::Body,
        Self::Message,
        Self::Answer,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::ProxyHeader => "proxy_header",
            Self::Head => "head",
            Self::Body => "body",
            Self::Message => "message",
            Self::Answer => "answer",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl From<Slowness> for ReasonLabels {
    fn from(slowness: Slowness) -> Self {
        let reason = slowness.as_str();
        Self { reason }
    }
}

/// Figures about sockets.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Sockets open now, detached ones included.
    pub open: Gauge,
    /// Sockets accepted.
    pub accepted: Counter,
    refused: Counter,
    limits: Limits,
    given_up: Family<ReasonLabels, Counter>,
}

impl Connections {
    pub(super) fn register(registry: &mut Registry, limits: Limits) -> Self {
        let metrics = Self {
            open: Gauge::default(),
            accepted: Counter::default(),
            refused: Counter::default(),
            limits,
            given_up: Family::default(),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for slowness in Slowness::ALL {
            drop(metrics.given_up.get_or_create(&slowness.into()));
        }
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
        registry.register(
            "client_timeouts",
            "Clients that were given up because they sent or took something too slowly, by what it was",
            metrics.given_up.clone(),
        );
        metrics
    }

    /// A socket was closed at once, because there are as many as there may be.
    pub fn refused(&self) {
        self.refused.inc();
        self.limits.refused(Limit::Connections);
    }

    /// A client was waited for in vain.
    pub fn gave_up(&self, slowness: Slowness) {
        self.given_up.get_or_create(&slowness.into()).inc();
    }
}
