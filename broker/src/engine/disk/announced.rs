//! Announcements in files, so that a broker that is started again knows what was announced before.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::DiskEngine;
use super::shared::Shared;
use super::store::Store;
use crate::engine::announcements::end_of;
use crate::engine::{Announcement, Announcements, EngineError, EngineFuture};

/// How many are read at once.
const AT_ONCE: usize = 512;

/// An announcement as the files have it, and when it ends.
pub(super) struct StoredAnnouncement {
    pub(super) announcement: Announcement,
    pub(super) end_ms: u64,
}

impl StoredAnnouncement {
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [self.end_ms, self.announcement.version];
        let mut bytes = numbers.map(u64::to_be_bytes).concat();
        bytes.extend_from_slice(&self.announcement.content);
        bytes
    }

    /// # Errors
    /// When it is none.
    pub(super) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, EngineError> {
        let corrupt = EngineError::Corrupt {
            expected: "an announcement",
        };
        let key = String::from_utf8(key.to_vec()).map_err(|_| corrupt.clone())?;
        let (end, rest) = bytes.split_first_chunk().ok_or(corrupt.clone())?;
        let (version, content) = rest.split_first_chunk().ok_or(corrupt)?;
        Ok(Self {
            announcement: Announcement {
                key,
                version: u64::from_be_bytes(*version),
                given: Instant::now(),
                content: content.to_vec().into(),
            },
            end_ms: u64::from_be_bytes(*end),
        })
    }
}

fn keep(
    shared: &Shared,
    announcement: Announcement,
    keep_for: Duration,
) -> Result<(), EngineError> {
    let (store, now_ms) = (shared.store()?, shared.clock.wall_ms());
    // From reading to writing nobody else may write.
    let _guard = shared
        .announcing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let known = store.announcement(&announcement.key)?;
    if known.is_some_and(|known| {
        known.end_ms > now_ms && known.announcement.version > announcement.version
    }) {
        return Ok(());
    }
    let mut batch = store.batch();
    if keep_for.is_zero() {
        batch.remove_announcement(announcement.key);
    } else {
        batch.set_announcement(&StoredAnnouncement {
            end_ms: end_of(keep_for, now_ms),
            announcement,
        });
    }
    batch.commit()
}

fn all(shared: &Shared) -> Result<Vec<Announcement>, EngineError> {
    let (store, now_ms) = (shared.store()?, shared.clock.wall_ms());
    let (mut all, mut last) = (Vec::new(), String::new());
    loop {
        let page = store.announcements_after(&last, AT_ONCE)?;
        let Some(newest) = page.last() else {
            return Ok(all);
        };
        last.clone_from(&newest.announcement.key);
        let kept = page.into_iter().filter(|stored| stored.end_ms > now_ms);
        all.extend(kept.map(|stored| stored.announcement));
    }
}

/// Removes some of the announcements behind a key that have ended. Returns where to go on; nothing when it was the last slice.
pub(super) fn remove_ended(
    shared: &Shared,
    store: &Arc<Store>,
    after: Option<&str>,
) -> Result<Option<String>, EngineError> {
    let now_ms = shared.clock.wall_ms();
    let _guard = shared
        .announcing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let page = store.announcements_after(after.unwrap_or_default(), AT_ONCE)?;
    let is_last = page.len() < AT_ONCE;
    let last = page.last().map(|stored| stored.announcement.key.clone());
    let mut batch = store.batch_for_later();
    for stored in page {
        if stored.end_ms <= now_ms {
            batch.remove_announcement(stored.announcement.key);
        }
    }
    batch.commit()?;
    Ok(last.filter(|_| !is_last))
}

impl Announcements for DiskEngine {
    fn lease(&self) -> Option<Duration> {
        None
    }

    fn announce(&self, announcement: Announcement, keep_for: Duration) -> EngineFuture<'_, ()> {
        Box::pin(self.aside(move |shared| keep(shared, announcement, keep_for)))
    }

    fn announced(&self) -> EngineFuture<'_, Vec<Announcement>> {
        Box::pin(self.aside(all))
    }
}
