//! Time, passed in so that tests need no sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time, in both senses.
pub trait Clock: Send + Sync + 'static {
    /// For ages and deadlines: never goes backwards.
    fn now(&self) -> Instant;

    /// For timestamps that people see, in milliseconds since 1970-01-01 UTC: may be set back.
    fn wall_ms(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_ms(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        // A machine that thinks it is before 1970 stamps 0.
        let milliseconds = since_1970.unwrap_or(Duration::ZERO).as_millis();
        u64::try_from(milliseconds).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is told otherwise.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct ManualClock {
    start: Instant,
    passed_ms: std::sync::atomic::AtomicU64,
    wall_ms: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl ManualClock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            passed_ms: 0.into(),
            wall_ms: 1_700_000_000_000.into(),
        }
    }

    /// Time passes, on the wall too. Whole milliseconds count.
    pub(crate) fn pass(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap();
        let order = std::sync::atomic::Ordering::Relaxed;
        self.passed_ms.fetch_add(milliseconds, order);
        self.wall_ms.fetch_add(milliseconds, order);
    }

    /// Somebody sets the clock on the wall.
    pub(crate) fn set_wall_ms(&self, wall_ms: u64) {
        self.wall_ms
            .store(wall_ms, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> Instant {
        let passed = self.passed_ms.load(std::sync::atomic::Ordering::Relaxed);
        self.start + Duration::from_millis(passed)
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(std::sync::atomic::Ordering::Relaxed)
    }
}
