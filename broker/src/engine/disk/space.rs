//! Whether the disk has room for further messages.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::EngineError;

/// How often the disk is asked.
const INTERVAL: Duration = Duration::from_millis(250);

/// The free space of a disk, asked for now and then.
pub(super) struct Space {
    least_free_bytes: u64,
    asked_at: Option<Instant>,
    free_bytes: u64,
}

impl Space {
    pub(super) fn new(least_free_bytes: u64) -> Self {
        Self {
            least_free_bytes,
            asked_at: None,
            free_bytes: u64::MAX,
        }
    }

    /// Makes sure that there is room. A full disk would make the store give up; so it is never filled.
    ///
    /// # Errors
    /// When there is not.
    pub(super) fn check(&mut self, path: &Path) -> Result<(), EngineError> {
        let now = Instant::now();
        let is_due = |at| now.saturating_duration_since(at) >= INTERVAL;
        if self.asked_at.is_none_or(is_due) {
            self.asked_at = Some(now);
            let found = rustix::fs::statvfs(path);
            self.free_bytes = found.map_or(u64::MAX, |found| {
                found.f_bavail.saturating_mul(found.f_frsize)
            });
        }
        if self.free_bytes >= self.least_free_bytes {
            return Ok(());
        }
        Err(EngineError::unavailable(format!(
            "the disk of {} has {} bytes free, engine.NAME.free_bytes asks for {}: make room on it",
            path.display(),
            self.free_bytes,
            self.least_free_bytes
        )))
    }
}
