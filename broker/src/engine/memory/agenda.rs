//! When to look at which channel again, so that nothing ever has to walk over all channels.
//!
//! A channel has at most one appointment per [`Matter`]; it is made when there is something to come, not moved when
//! that is put off (who keeps it finds out and makes a new one), and cancelled when there is nothing to come any more.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use widecast_protocol::ChannelName;

/// Why a channel has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matter {
    /// A member's grace time ends.
    Presence,
    /// The oldest message or idempotency key expires.
    Expiry,
    /// Not a time to come: when the oldest message or idempotency key came. The first is evicted first.
    Eviction,
    /// Nobody has used the channel for long: it is to be forgotten.
    Idle,
}

impl Matter {
    pub(super) const ALL: [Self; 4] = [Self::Presence, Self::Expiry, Self::Eviction, Self::Idle];
}

/// Something for each matter.
#[derive(Debug, Default)]
pub(super) struct PerMatter<T>([T; Matter::ALL.len()]);

impl<T> PerMatter<T> {
    pub(super) fn get(&self, matter: Matter) -> &T {
        &self.0[matter as usize]
    }

    pub(super) fn get_mut(&mut self, matter: Matter) -> &mut T {
        &mut self.0[matter as usize]
    }
}

/// A channel to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Appointment {
    pub(super) at: Instant,
    pub(super) channel: ChannelName,
}

/// The appointments of all channels. Its locks are leaves: nothing else is locked under them, so that they may be taken
/// under a channel's lock. A tree and not a heap, because an appointment can be cancelled, and because a heap of a
/// million would now and then be copied to grow, under a channel's lock.
#[derive(Debug, Default)]
pub(super) struct Agenda(PerMatter<Mutex<BTreeSet<Appointment>>>);

impl Agenda {
    fn of(&self, matter: Matter) -> MutexGuard<'_, BTreeSet<Appointment>> {
        // No code that can panic runs under the lock, so the tree is whole in any case.
        let lock = self.0.get(matter).lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an appointment.
    pub(super) fn make(&self, matter: Matter, appointment: Appointment) {
        self.of(matter).insert(appointment);
    }

    /// Cancels an appointment, if it has not been taken.
    pub(super) fn cancel(&self, matter: Matter, appointment: &Appointment) {
        self.of(matter).remove(appointment);
    }

    /// Takes the first appointment.
    pub(super) fn take_first(&self, matter: Matter) -> Option<Appointment> {
        self.of(matter).pop_first()
    }

    /// Takes the first appointment, if its time has come.
    pub(super) fn take_due(&self, matter: Matter, now: Instant) -> Option<Appointment> {
        let mut appointments = self.of(matter);
        let due = appointments.first().is_some_and(|first| first.at <= now);
        due.then(|| appointments.pop_first())?
    }

    /// How many appointments there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        Matter::ALL
            .iter()
            .map(|&matter| self.of(matter).len())
            .sum()
    }

    /// When the first appointment is.
    pub(super) fn first_at(&self, matter: Matter) -> Option<Instant> {
        self.of(matter).first().map(|first| first.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn appointments_are_taken_in_the_order_of_their_times() {
        let (agenda, start) = (Agenda::default(), Instant::now());
        let appointment = |seconds, name| Appointment {
            at: start + Duration::from_secs(seconds),
            channel: ChannelName::parse(name).unwrap(),
        };
        for (seconds, name) in [(3, "c"), (1, "a"), (2, "b"), (1, "d")] {
            agenda.make(Matter::Idle, appointment(seconds, name));
        }
        agenda.cancel(Matter::Idle, &appointment(1, "d"));
        assert_eq!(agenda.take_due(Matter::Idle, start), None);
        let now = start + Duration::from_secs(1);
        assert_eq!(
            agenda.take_due(Matter::Idle, now),
            Some(appointment(1, "a"))
        );
        assert_eq!(agenda.take_due(Matter::Idle, now), None);
        assert_eq!(agenda.take_first(Matter::Idle), Some(appointment(2, "b")));
        assert_eq!(
            agenda.first_at(Matter::Idle),
            Some(now + Duration::from_secs(2))
        );
        assert_eq!(agenda.first_at(Matter::Expiry), None);
    }
}
