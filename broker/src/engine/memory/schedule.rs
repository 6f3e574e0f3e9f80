//! When to look at which channel again, so that nothing ever has to walk over all channels.
//!
//! A channel stands on the schedule at most once per kind of [`Upkeep`]. It is added when there is something to come, and not
//! moved when that is put off: whoever looks after it then finds out, and adds it anew. It is cancelled when there is nothing
//! to come any more.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use widecast_protocol::ChannelName;

/// What there is to do for a channel because time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// A member's grace time ends.
    Presence,
    /// The oldest message or idempotency key expires.
    Expiry,
    /// Not a time to come: when the oldest message or idempotency key came. The first is evicted first.
    Eviction,
    /// Nobody has used the channel for long: it is to be forgotten.
    Idle,
}

impl Upkeep {
    pub(super) const ALL: [Self; 4] = [Self::Presence, Self::Expiry, Self::Eviction, Self::Idle];
}

/// Something for each kind of upkeep.
#[derive(Debug, Default)]
pub(super) struct PerUpkeep<T>([T; Upkeep::ALL.len()]);

impl<T> PerUpkeep<T> {
    pub(super) fn get(&self, upkeep: Upkeep) -> &T {
        &self.0[upkeep as usize]
    }

    pub(super) fn get_mut(&mut self, upkeep: Upkeep) -> &mut T {
        &mut self.0[upkeep as usize]
    }
}

/// A channel, and when it is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) channel: ChannelName,
}

/// When which channel is due. Its locks are leaves: nothing else is locked under them, so that they may be taken
/// under a channel's lock. A tree and not a heap, because an entry can be cancelled, and because a heap of a
/// million would now and then be copied to grow, under a channel's lock.
#[derive(Debug, Default)]
pub(super) struct Schedule(PerUpkeep<Mutex<BTreeSet<Due>>>);

impl Schedule {
    fn of(&self, upkeep: Upkeep) -> MutexGuard<'_, BTreeSet<Due>> {
        // No code that can panic runs under the lock, so the tree is whole in any case.
        let lock = self.0.get(upkeep).lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a channel on the schedule.
    pub(super) fn add(&self, upkeep: Upkeep, due: Due) {
        self.of(upkeep).insert(due);
    }

    /// Takes a channel off the schedule, if it has not been taken.
    pub(super) fn cancel(&self, upkeep: Upkeep, due: &Due) {
        self.of(upkeep).remove(due);
    }

    /// Takes the channel that is due first.
    pub(super) fn take_first(&self, upkeep: Upkeep) -> Option<Due> {
        self.of(upkeep).pop_first()
    }

    /// Takes the channel that is due first, if its time has come.
    pub(super) fn take_due(&self, upkeep: Upkeep, now: Instant) -> Option<Due> {
        let mut entries = self.of(upkeep);
        let is_due = entries.first().is_some_and(|first| first.at <= now);
        is_due.then(|| entries.pop_first())?
    }

    /// How many channels are due, now or later.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        Upkeep::ALL
            .iter()
            .map(|&upkeep| self.of(upkeep).len())
            .sum()
    }

    /// When the first channel is due.
    pub(super) fn first_at(&self, upkeep: Upkeep) -> Option<Instant> {
        self.of(upkeep).first().map(|first| first.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn channels_are_taken_in_the_order_of_their_times() {
        let (schedule, start) = (Schedule::default(), Instant::now());
        let due = |seconds, name| Due {
            at: start + Duration::from_secs(seconds),
            channel: ChannelName::parse(name).unwrap(),
        };
        for (seconds, name) in [(3, "c"), (1, "a"), (2, "b"), (1, "d")] {
            schedule.add(Upkeep::Idle, due(seconds, name));
        }
        schedule.cancel(Upkeep::Idle, &due(1, "d"));
        assert_eq!(schedule.take_due(Upkeep::Idle, start), None);
        let now = start + Duration::from_secs(1);
        assert_eq!(schedule.take_due(Upkeep::Idle, now), Some(due(1, "a")));
        assert_eq!(schedule.take_due(Upkeep::Idle, now), None);
        assert_eq!(schedule.take_first(Upkeep::Idle), Some(due(2, "b")));
        assert_eq!(
            schedule.first_at(Upkeep::Idle),
            Some(now + Duration::from_secs(2))
        );
        assert_eq!(schedule.first_at(Upkeep::Expiry), None);
    }
}
