//! Lines of the log that clients, or something that fails again and again, could write without end: one of a kind in ten seconds is
//! written, with how many there would have been.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// For how long a kind of line is not written again.
const SILENCE_MS: u64 = 10_000;

/// When the clock of all kinds began.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A kind of line. Each is a `static` beside the place that writes it.
#[derive(Debug)]
pub struct LogLimit {
    next_at_ms: AtomicU64,
    times: AtomicU64,
}

impl LogLimit {
    /// A kind of which no line was written.
    pub const fn new() -> Self {
        Self {
            next_at_ms: AtomicU64::new(0),
            times: AtomicU64::new(0),
        }
    }

    /// Counts what has happened. When a line is due, how often it has happened since the last one, this time included: a line
    /// shows it as `times`.
    pub fn due(&self) -> Option<u64> {
        let now_ms = BEGAN.elapsed().as_millis();
        self.due_at(u64::try_from(now_ms).unwrap_or(u64::MAX))
    }

    fn due_at(&self, now_ms: u64) -> Option<u64> {
        self.times.fetch_add(1, Ordering::Relaxed);
        let next = |at: u64| (at <= now_ms).then(|| now_ms.saturating_add(SILENCE_MS));
        let order = Ordering::Relaxed;
        self.next_at_ms.fetch_update(order, order, next).ok()?;
        Some(self.times.swap(0, Ordering::Relaxed))
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_next_with_all_that_came_in_between() {
        let limit = LogLimit::new();
        assert_eq!(limit.due_at(5), Some(1));
        for now_ms in 5..1005 {
            assert_eq!(limit.due_at(now_ms), None);
        }
        assert_eq!(limit.due_at(4 + SILENCE_MS), None);
        assert_eq!(limit.due_at(5 + SILENCE_MS), Some(1002));
        assert_eq!(limit.due_at(5 + 3 * SILENCE_MS), Some(1));
    }

    #[test]
    fn one_of_several_threads_writes_the_line() {
        let limit = LogLimit::new();
        let told: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter_map(|_| limit.due_at(0)).count() as u64))
                .collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(told, 1);
    }
}
