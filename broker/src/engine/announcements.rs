//! What all nodes that share an engine have to know besides messages: that tokens are revoked, that sessions have to end, that a
//! node is there. What is in an announcement is of no concern to engines.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Something that all nodes have to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What it is about: a later announcement of the same key takes the place of an earlier one.
    pub key: String,
    /// Of two announcements of the same key the one with the higher version counts, whichever comes last. Below 2^53.
    pub version: u64,
    /// When it was announced. Of what other nodes have announced, or was kept, it is known only that it was not after this.
    pub given: Instant,
    /// What is to be known.
    pub content: Bytes,
}

/// When something ends that is kept for so long, in milliseconds since 1970-01-01 UTC.
pub(super) fn end_of(keep_for: Duration, now_ms: u64) -> u64 {
    let keep_ms = u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX);
    now_ms.saturating_add(keep_ms)
}

/// The announcements that are kept in memory.
#[derive(Debug, Default)]
pub(super) struct KeptAnnouncements(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    announcements: HashMap<String, (Announcement, u64)>,
    /// By when they end.
    ends: BTreeSet<(u64, String)>,
}

impl KeptAnnouncements {
    /// Keeps an announcement for so long, unless a newer one of its key is kept.
    pub(super) fn keep(&self, announcement: Announcement, keep_for: Duration, now_ms: u64) {
        let mut kept = self.kept();
        kept.forget_those_over(now_ms);
        if let Some((known, end)) = kept.announcements.get(&announcement.key) {
            if known.version > announcement.version {
                return;
            }
            let place = (*end, announcement.key.clone());
            kept.ends.remove(&place);
            kept.announcements.remove(&announcement.key);
        }
        if keep_for.is_zero() {
            return;
        }
        let (key, end) = (announcement.key.clone(), end_of(keep_for, now_ms));
        kept.ends.insert((end, key.clone()));
        kept.announcements.insert(key, (announcement, end));
    }

    /// All that are kept now.
    pub(super) fn all(&self, now_ms: u64) -> Vec<Announcement> {
        let mut kept = self.kept();
        kept.forget_those_over(now_ms);
        let all = kept.announcements.values();
        all.map(|(announcement, _)| announcement.clone()).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget_those_over(&mut self, now_ms: u64) {
        while let Some((end, _)) = self.ends.first()
            && *end <= now_ms
            && let Some((_, key)) = self.ends.pop_first()
        {
            self.announcements.remove(&key);
        }
    }
}
