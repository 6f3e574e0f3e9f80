//! Tokens that count no longer, set from what is kept of them whenever somebody asks for the metrics.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Figures about tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Revocations that are kept now.
    pub revocations: Gauge,
    revoked: Counter,
}

impl Tokens {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            revocations: Gauge::default(),
            revoked: Counter::default(),
        };
        registry.register(
            "revocations",
            "Revocations that are kept now, of auth.max_revocations",
            metrics.revocations.clone(),
        );
        registry.register(
            "revoked_tokens_refused",
            "Times that a revoked token was shown, or found in a session, and refused",
            metrics.revoked.clone(),
        );
        metrics
    }

    /// Sets how often a revoked token was refused since the start.
    pub fn set_revoked(&self, total: u64) {
        self.revoked.inner().store(total, Ordering::Relaxed);
    }
}
