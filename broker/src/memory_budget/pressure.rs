//! How near all of it together is to the ceiling.
//!
//! What the parts count is less than what the process takes: allocators round up, and keep some of what was freed. What the system says
//! is believed, therefore, but not for more than twice what is counted: otherwise memory that an allocator does not give back would
//! keep clients out for ever.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::ledger::total;
use super::machine;

/// How often the whole is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// About how many bytes the process takes without clients, rather too many.
const BASE: u64 = 32 << 20;

/// How near it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is room.
    Calm = 0,
    /// Caches and the history give way.
    Tight = 1,
    /// The largest clients are cut, and new work is refused.
    Full = 2,
}

impl Level {
    /// What the level means for the operator.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Calm => "clients take less memory again, and nothing gives way any more",
            Self::Tight => {
                "the memory that clients take is near limits.memory_bytes: caches and the history give way. Allow more memory if this repeats"
            }
            Self::Full => {
                "clients take as much memory as limits.memory_bytes allows: the largest sessions are ended, and new work is refused. Allow more memory if this repeats"
            }
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Calm as u8);

/// How near all of it was to the ceiling at the last look.
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::Calm,
        1 => Level::Tight,
        _ => Level::Full,
    }
}

/// Whether new work is to be refused.
pub fn is_full() -> bool {
    level() == Level::Full
}

/// Watches the whole.
#[derive(Debug)]
pub struct Pressure {
    ceiling: u64,
}

impl Pressure {
    /// Under this ceiling.
    pub const fn new(ceiling: u64) -> Self {
        Self { ceiling }
    }

    /// Looks now and then how near it is, for ever. At each look `tend` brings up to date what nobody counts as it changes, and does what
    /// the level asks for.
    pub async fn watch(self, mut tend: impl FnMut(Level)) {
        loop {
            sleep(PAUSE).await;
            let before = level();
            tend(before);
            let now = self.judge(total(), machine::resident());
            if now != before {
                LEVEL.store(now as u8, Ordering::Relaxed);
                tracing::info!(level = ?now, "{}", now.meaning());
            }
        }
    }

    fn judge(&self, counted: u64, resident: Option<u64>) -> Level {
        let resident = resident
            .unwrap_or(0)
            .min(counted.saturating_mul(2).saturating_add(BASE));
        let taken = resident.max(counted);
        if taken >= self.ceiling / 8 * 7 {
            Level::Full
        } else if taken >= self.ceiling / 4 * 3 {
            Level::Tight
        } else {
            Level::Calm
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEBIBYTE: u64 = 1 << 20;

    #[test]
    fn both_the_counted_bytes_and_those_of_the_system_count() {
        let pressure = Pressure::new(256 * MEBIBYTE);
        let judge = |counted, resident: Option<u64>| {
            pressure.judge(
                counted * MEBIBYTE,
                resident.map(|mebibytes| mebibytes * MEBIBYTE),
            )
        };
        assert_eq!(judge(100, Some(150)), Level::Calm);
        assert_eq!(judge(195, Some(150)), Level::Tight);
        assert_eq!(judge(230, None), Level::Full);
        assert_eq!(judge(100, Some(200)), Level::Tight);
        assert_eq!(judge(110, Some(230)), Level::Full);
        // Memory that nobody has any more does not keep clients out.
        assert_eq!(judge(20, Some(250)), Level::Calm);
    }
}
