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
