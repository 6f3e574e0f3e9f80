//! The members that somebody has listed: those that are listed now, and those that have left and are shown for a while yet.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long somebody waits who has listed as many as one may, at least: by then one of them may have left.
const SOON: Duration = Duration::from_secs(1);

/// The members that an address or a user has listed.
#[derive(Debug, Default)]
pub(super) struct Members(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    listed: usize,
    /// Until when each of those that have left is shown, in the order in which they left.
    leaving: VecDeque<Instant>,
}

impl Counted {
    fn forget_gone(&mut self, now: Instant) {
        while self.leaving.front().is_some_and(|until| *until <= now) {
            self.leaving.pop_front();
        }
    }
}

impl Members {
    /// Counts a member, unless there are `most`; else says how long it takes until one of those that have left is gone.
    fn add(&self, most: usize, now: Instant) -> Result<(), Duration> {
        let mut counted = self.lock();
        counted.forget_gone(now);
        if counted.listed + counted.leaving.len() < most {
            counted.listed += 1;
            return Ok(());
        }
        let gone = counted.leaving.front();
        let wait = gone.map_or(SOON, |until| until.saturating_duration_since(now));
        Err(wait.max(SOON))
    }

    /// A member is listed no longer. `shown` says until when it is shown all the same, if it ever was.
    fn remove(&self, shown: Option<Instant>) {
        let mut counted = self.lock();
        counted.listed -= 1;
        counted.leaving.extend(shown);
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        let mut counted = self.lock();
        counted.forget_gone(Instant::now());
        counted.listed == 0 && counted.leaving.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        // It is whole at every moment: nothing is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever lists members.
pub(super) trait Lists: Debug + Send + Sync {
    /// The members that it has listed.
    fn members(&self) -> &Members;
}

/// A member that is counted as one of its address or user until this is dropped; by default it is counted nowhere.
#[derive(Debug, Default)]
pub struct ListedMember {
    of: Option<Arc<dyn Lists>>,
    /// For how long it is shown after that; none if it has not been shown yet.
    lingers: Option<Duration>,
}

impl ListedMember {
    /// Counts a member, unless there are `most`; else says how long to wait.
    pub(super) fn add(of: Arc<dyn Lists>, most: usize) -> Result<Self, Duration> {
        of.members().add(most, Instant::now())?;
        Ok(Self {
            of: Some(of),
            lingers: None,
        })
    }

    /// Whether it is counted as one of these, or nowhere.
    pub(super) fn is_of(&self, members: Option<&Members>) -> bool {
        let of = self.of.as_deref().map(Lists::members);
        match (of, members) {
            (Some(of), Some(members)) => std::ptr::eq(of, members),
            (of, members) => of.is_none() && members.is_none(),
        }
    }

    /// From now on the others may be shown it, and for this long after it has left: it counts for as long.
    pub fn is_shown(&mut self, lingers: Duration) {
        self.lingers = Some(lingers);
    }
}

impl Drop for ListedMember {
    fn drop(&mut self) {
        if let Some(of) = &self.of {
            let shown = self.lingers.map(|lingers| Instant::now() + lingers);
            of.members().remove(shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[test]
    fn who_has_left_counts_for_as_long_as_it_is_shown() {
        let (members, now) = (Members::default(), Instant::now());
        assert_eq!(members.add(2, now), Ok(()));
        assert_eq!(members.add(2, now), Ok(()));
        assert_eq!(members.add(2, now), Err(SOON));
        members.remove(Some(now + GRACE));
        assert_eq!(members.add(2, now), Err(GRACE));
        assert_eq!(members.add(2, now + GRACE), Ok(()));
        members.remove(None);
        assert_eq!(members.add(2, now + GRACE), Ok(()));
        members.remove(None);
        members.remove(None);
        assert!(members.is_empty());
    }
}
