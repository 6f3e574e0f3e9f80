//! Answers that count for a while, when the same is asked again.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tokio::time::Instant;

use super::answer::Permission;

/// How many answers are kept; of more, those go that were asked for the longest ago.
const MOST: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

/// What a question is known by: its digest, since there may be a cookie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct QuestionKey([u8; SHA256_OUTPUT_LEN]);

impl QuestionKey {
    pub(super) fn of(question: &[u8]) -> Self {
        let mut key = [0; SHA256_OUTPUT_LEN];
        key.copy_from_slice(digest(&SHA256, question).as_ref());
        Self(key)
    }
}

struct Kept {
    permission: Permission,
    until: Instant,
}

/// The permissions that were given lately. A refusal is not kept: whoever has just been given a right need not wait for it.
pub(super) struct Cache {
    kept: Mutex<LruCache<QuestionKey, Kept>>,
    time: Duration,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({:?})", self.time)
    }
}

impl Cache {
    /// A cache that keeps each answer for `time`.
    pub(super) fn new(time: Duration) -> Self {
        Self {
            kept: Mutex::new(LruCache::new(MOST)),
            time,
        }
    }

    pub(super) fn get(&self, key: &QuestionKey) -> Option<Permission> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(key)?;
        if found.until > Instant::now() {
            return Some(found.permission.clone());
        }
        kept.pop(key);
        None
    }

    pub(super) fn keep(&self, key: QuestionKey, permission: Permission) {
        let until = Instant::now() + self.time;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(key, Kept { permission, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_its_time() {
        let cache = Cache::new(Duration::from_secs(5));
        let (one, other) = (QuestionKey::of(b"1"), QuestionKey::of(b"2"));
        let permission = Permission {
            user: Some("7".into()),
            ..Permission::default()
        };
        cache.keep(one, permission.clone());
        assert_eq!(cache.get(&one), Some(permission));
        assert_eq!(cache.get(&other), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(cache.get(&one), None);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many() {
        let cache = Cache::new(Duration::from_secs(5));
        for number in 0..=MOST.get() {
            cache.keep(
                QuestionKey::of(&number.to_be_bytes()),
                Permission::default(),
            );
        }
        assert_eq!(cache.kept.lock().unwrap().len(), MOST.get());
        assert!(
            cache
                .get(&QuestionKey::of(&0_usize.to_be_bytes()))
                .is_none()
        );
    }
}
