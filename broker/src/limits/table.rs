//! A table of what is counted for somebody, of whom there may be any number: it has room for so many, and forgets those of whom nothing
//! is left to count.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::quality::RandomState;

/// How many have an entry of their own, at most: more than there can be connections and sessions with default settings. All others share
/// one, so that nobody makes the table grow by being many.
pub(super) const MOST: usize = 262_144;

/// Up to this many entries, nothing is cleaned up.
const FEW: usize = 1024;

/// How often a full table is looked through, at most, in nanoseconds.
const LOOK: u64 = 1_000_000_000;

/// What is counted for somebody.
pub(super) trait Counted {
    /// Whether nothing would be lost if it were forgotten, as far as it can say itself.
    fn is_idle(&self, now: u64) -> bool;
}

/// Entries by who they are for; `K` as it is asked for, which may be less than what is kept: `str` for `String`.
#[derive(Debug)]
pub(super) struct Table<K: ToOwned + ?Sized, V>
where
    K::Owned: Debug,
{
    // Clients choose the names, but none learns their hashes, which are salted, and there are `most` of them.
    entries: HashMap<K::Owned, Arc<V>, RandomState>,
    most: usize,
    /// The number of entries at which the table is next cleaned up.
    look_at: usize,
    pub(super) looked: u64,
}

impl<K, V> Table<K, V>
where
    K: ToOwned + Hash + Eq + ?Sized,
    K::Owned: Hash + Eq + Borrow<K> + Debug,
    V: Counted,
{
    /// A table with room for `most` entries.
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: HashMap::default(),
            most,
            look_at: FEW.min(most),
            looked: 0,
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry for somebody, or a new one; none if there is no room for it. The time is asked for only where the table is looked through.
    pub(super) fn entry(
        &mut self,
        key: &K,
        now: impl FnOnce() -> u64,
        make: impl FnOnce() -> V,
    ) -> Option<Arc<V>> {
        if let Some(found) = self.entries.get(key) {
            return Some(Arc::clone(found));
        }
        if self.entries.len() >= self.look_at {
            self.forget_idle(now());
        }
        if self.entries.len() >= self.most {
            return None;
        }
        let entry = Arc::new(make());
        self.entries.insert(key.to_owned(), Arc::clone(&entry));
        Some(entry)
    }

    /// Forgets those who have nothing. Each look is paid for by as many new ones as it leaves, or by a second.
    fn forget_idle(&mut self, now: u64) {
        let is_paid_off = self.entries.len() >= self.most;
        if is_paid_off && self.looked > 0 && now < self.looked + LOOK {
            return;
        }
        // Whoever has something has a reference, too, and gets none without the table's lock.
        self.entries
            .retain(|_, entry| Arc::strong_count(entry) > 1 || !entry.is_idle(now));
        self.look_at = (2 * self.entries.len()).clamp(FEW.min(self.most), self.most);
        self.looked = now;
    }
}
