//! The idempotency keys that were used on one channel lately.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use widecast_protocol::{IdempotencyKey, Offset};

/// About what a key takes beside its text: an entry in the map, one in the queue, and the text's own head.
const OVERHEAD_BYTES: u64 = 128;

/// Which publication each key was first used for. Oldest first, and bounded by whoever calls.
#[derive(Debug, Default)]
pub(super) struct RecentKeys {
    offsets: HashMap<IdempotencyKey, Offset>,
    /// The keys of `offsets`, each once, in the order of their first use.
    order: VecDeque<Used>,
    bytes: u64,
}

#[derive(Debug)]
struct Used {
    key: IdempotencyKey,
    at: Instant,
}

fn weight(key: &IdempotencyKey) -> u64 {
    OVERHEAD_BYTES + key.as_str().len() as u64
}

impl RecentKeys {
    /// The publication that the key was used for less than `window` ago.
    pub(super) fn find(
        &mut self,
        key: &IdempotencyKey,
        now: Instant,
        window: Duration,
    ) -> Option<Offset> {
        self.expire(now, window);
        self.offsets.get(key).copied()
    }

    /// Remembers what the key was used for, and forgets the oldest keys beyond `most`. [`RecentKeys::find`] must have
    /// answered `None` just before.
    pub(super) fn remember(
        &mut self,
        key: IdempotencyKey,
        offset: Offset,
        at: Instant,
        most: usize,
    ) {
        self.bytes += weight(&key);
        self.offsets.insert(key.clone(), offset);
        self.order.push_back(Used { key, at });
        while self.order.len() > most {
            self.drop_oldest();
        }
    }

    /// Forgets the keys used `window` ago or longer.
    pub(super) fn expire(&mut self, now: Instant, window: Duration) {
        while let Some(oldest) = self.order.front() {
            if now.saturating_duration_since(oldest.at) < window {
                break;
            }
            self.drop_oldest();
        }
    }

    /// Forgets the oldest key.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.bytes -= weight(&oldest.key);
            self.offsets.remove(&oldest.key);
        }
    }

    /// When the oldest key was used.
    pub(super) fn oldest_at(&self) -> Option<Instant> {
        self.order.front().map(|oldest| oldest.at)
    }

    /// About how much memory the keys take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(5);

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text).unwrap()
    }

    #[test]
    fn a_key_is_remembered_for_the_window() {
        let (mut keys, start) = (RecentKeys::default(), Instant::now());
        keys.remember(key("a"), Offset(7), start, 10);
        let just_within = start + WINDOW.saturating_sub(Duration::from_millis(1));
        assert_eq!(keys.find(&key("a"), just_within, WINDOW), Some(Offset(7)));
        assert_eq!(keys.find(&key("a"), start + WINDOW, WINDOW), None);
        assert!(keys.is_empty());
        assert_eq!(keys.bytes(), 0);
    }

    #[test]
    fn a_key_used_anew_after_the_window_is_remembered_anew() {
        let (mut keys, start) = (RecentKeys::default(), Instant::now());
        keys.remember(key("a"), Offset(1), start, 10);
        assert_eq!(keys.find(&key("a"), start + WINDOW, WINDOW), None);
        keys.remember(key("a"), Offset(2), start + WINDOW, 10);
        let later = start + WINDOW + WINDOW / 2;
        assert_eq!(keys.find(&key("a"), later, WINDOW), Some(Offset(2)));
    }

    #[test]
    fn beyond_the_bound_the_oldest_key_is_forgotten() {
        let (mut keys, now) = (RecentKeys::default(), Instant::now());
        for (text, offset) in [("a", 1), ("b", 2), ("c", 3)] {
            keys.remember(key(text), Offset(offset), now, 2);
        }
        assert_eq!(keys.find(&key("a"), now, WINDOW), None);
        assert_eq!(keys.find(&key("b"), now, WINDOW), Some(Offset(2)));
        assert_eq!(keys.bytes(), 2 * (OVERHEAD_BYTES + 1));
        keys.remember(key("d"), Offset(4), now, 0);
        assert!(keys.is_empty());
    }
}
