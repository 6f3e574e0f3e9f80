//! What the Redis engine counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::ServerFigures;
use crate::metrics::Latency;

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct RedisFigures {
    latency: Latency,
    reconnects: AtomicU64,
    rereads: AtomicU64,
}

impl RedisFigures {
    /// A command was answered or given up after so long.
    pub(super) fn asked(&self, waited: Duration) {
        self.latency.observe(waited);
    }

    /// A connection was lost, and there is a new one.
    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// A channel had moved while nothing was heard.
    pub(super) fn found_moved(&self) {
        self.rereads.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it, while so many commands wait.
    pub(super) fn with_waiting(&self, waiting: usize) -> ServerFigures {
        ServerFigures {
            waiting: waiting as u64,
            latency: self.latency.counts(),
            reconnects: self.reconnects.load(Ordering::Relaxed),
            rereads: self.rereads.load(Ordering::Relaxed),
        }
    }
}
