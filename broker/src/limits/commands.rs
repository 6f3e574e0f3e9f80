//! How many commands a session may send in a second, and how much of them may wait for it.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::allowance::{Allowance, Rate};
use crate::memory_budget::{Hold, Part};

/// For how long a session that has used up its allowance is refused everything. What it had sent before it heard of the first refusal
/// is refused, too, so that nothing overtakes what it then sends again.
const PAUSE: Duration = Duration::from_millis(250);

/// What a session has used of its allowance of commands.
#[derive(Debug, Default)]
pub struct CommandAllowance {
    used: Allowance,
    /// Until when nothing is granted, in nanoseconds of the clock of [`Quotas`](super::Quotas).
    paused_until: Cell<u64>,
}

impl CommandAllowance {
    /// Charges a command, if that much is left; else says how long it takes until it is.
    pub(super) fn take(&self, rate: Rate, now: u64) -> Result<(), Duration> {
        let pause = self.paused_until.get().saturating_sub(now);
        if pause > 0 {
            return Err(Duration::from_nanos(pause));
        }
        self.used.take(rate, now).map_err(|wait| {
            let wait = wait.max(PAUSE);
            let nanoseconds = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
            self.paused_until.set(now.saturating_add(nanoseconds));
            wait
        })
    }
}

/// What a session was sent by requests of their own, and has yet to carry out. It counts with what is unfinished, because it waits for the client.
/// Clones are of the same session.
#[derive(Debug, Clone)]
pub struct Backlog(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    kept: Hold,
}

impl Default for Backlog {
    fn default() -> Self {
        let kept = Hold::of(Part::Unfinished);
        Self(Arc::new(Mutex::new(Waiting { bytes: 0, kept })))
    }
}

impl Backlog {
    /// Counts so many bytes, unless others wait and there would be more than `most`. All that is unfinished may have `unfinished` bytes; where
    /// it has more, the largest is given up.
    pub(super) fn add(&self, bytes: usize, most: usize, unfinished: u64) -> Option<Queued> {
        let mut waiting = self.lock();
        let sum = waiting.bytes.saturating_add(bytes);
        if waiting.bytes > 0 && sum > most {
            return None;
        }
        waiting.bytes = sum;
        waiting.kept.hold(sum, unfinished);
        Some(Queued {
            backlog: self.clone(),
            bytes,
            unfinished,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commands that count in the backlog of their session until this is dropped.
#[derive(Debug)]
pub struct Queued {
    backlog: Backlog,
    bytes: usize,
    unfinished: u64,
}

impl Queued {
    /// Ready when all that waits for the session is given up, because too much is unfinished and this is the largest.
    pub fn poll_given_up(&self, context: &mut Context<'_>) -> Poll<()> {
        self.backlog.lock().kept.poll_given_up(context)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut waiting = self.backlog.lock();
        waiting.bytes -= self.bytes;
        let left = waiting.bytes;
        waiting.kept.hold(left, self.unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_was_sent_before_the_refusal_was_heard_is_refused_too() {
        let (allowance, rate) = (CommandAllowance::default(), Rate::per_second(1000));
        for _ in 0..1000 {
            assert_eq!(allowance.take(rate, SECOND), Ok(()));
        }
        assert_eq!(allowance.take(rate, SECOND), Err(PAUSE));
        // By itself, the allowance would grant some again.
        let left = allowance.take(rate, SECOND + SECOND / 8);
        assert_eq!(left, Err(PAUSE / 2));
        let later = SECOND + SECOND / 4;
        for _ in 0..250 {
            assert_eq!(allowance.take(rate, later), Ok(()));
        }
        assert_eq!(allowance.take(rate, later), Err(PAUSE));
    }

    #[test]
    fn a_low_rate_says_truly_when_the_next_command_may_come() {
        let (allowance, rate) = (CommandAllowance::default(), Rate::per_second(2));
        assert_eq!(allowance.take(rate, SECOND), Ok(()));
        assert_eq!(allowance.take(rate, SECOND), Ok(()));
        let wait = allowance.take(rate, SECOND).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(allowance.take(rate, SECOND + SECOND / 2), Ok(()));
        let unlimited = CommandAllowance::default();
        assert!((0..10_000).all(|_| unlimited.take(Rate::NONE, SECOND).is_ok()));
    }

    #[test]
    fn a_backlog_takes_one_request_of_any_size_and_several_up_to_its_bound() {
        let backlog = Backlog::default();
        let large = backlog.add(1000, 100, u64::MAX).unwrap();
        assert!(backlog.clone().add(1, 100, u64::MAX).is_none());
        drop(large);
        let small = [
            backlog.add(60, 100, u64::MAX),
            backlog.add(40, 100, u64::MAX),
        ];
        assert!(small.iter().all(Option::is_some));
        assert!(backlog.add(1, 100, u64::MAX).is_none());
        drop(small);
        assert!(backlog.add(1000, 100, u64::MAX).is_some());
    }

    #[test]
    fn the_backlog_of_a_session_may_be_given_up() {
        // Above all that other tests of this process hold at the same time.
        const LARGEST: usize = 1 << 41;
        let (large, small) = (Backlog::default(), Backlog::default());
        let first = large.add(1, LARGEST, u64::MAX).unwrap();
        let other = small.add(1, 1, u64::MAX).unwrap();
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(first.poll_given_up(&mut context).is_pending());
        let _second = large.add(LARGEST - 1, LARGEST, LARGEST as u64 / 2).unwrap();
        assert!(first.poll_given_up(&mut context).is_ready());
        assert!(other.poll_given_up(&mut context).is_pending());
    }
}
