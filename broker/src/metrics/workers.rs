//! How long the worker threads keep others waiting.
//!
//! A worker runs one piece of work after another, and none can be interrupted: while one runs, nothing else on that thread
//! is served. [`Workers::watch`] finds such turns from within: it sleeps for a moment and looks how late it is woken.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::{Instant, sleep_until};

/// How long the watch sleeps: a turn shorter than this may begin and end without being seen.
const SLEEP: Duration = Duration::from_millis(10);

/// The timer's own granularity, which is nobody's turn.
const GRANULARITY: Duration = Duration::from_millis(1);

/// Figures about the turns of worker threads.
#[derive(Debug, Clone)]
pub struct Workers {
    turns: Histogram,
    longest_turn: Gauge<f64, AtomicU64>,
}

impl Workers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            // 0.5 ms to 16 s.
            turns: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            longest_turn: Gauge::default(),
        };
        registry.register_with_unit(
            "worker_wait",
            "Time for which a worker thread kept other work waiting, looked at every 10 ms",
            Unit::Seconds,
            metrics.turns.clone(),
        );
        registry.register_with_unit(
            "worker_longest_wait",
            "The longest time since the start for which a worker thread kept other work waiting",
            Unit::Seconds,
            metrics.longest_turn.clone(),
        );
        metrics
    }

    /// Watches the thread it runs on, for ever.
    pub async fn watch(self) {
        loop {
            let due = Instant::now() + SLEEP;
            sleep_until(due).await;
            self.waited(due.elapsed().saturating_sub(GRANULARITY));
        }
    }

    fn waited(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.turns.observe(seconds);
        // Two workers may be here at once: the lesser figure may win until the next long turn.
        if seconds > self.longest_turn.get() {
            self.longest_turn.set(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_long_turn_is_seen() {
        let workers = Workers::register(&mut Registry::default());
        actix_rt::spawn(workers.clone().watch());
        // The watch is asleep when the long turn begins.
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(100));
        while workers.longest_turn.get() < 0.05 {
            tokio::task::yield_now().await;
        }
    }
}
