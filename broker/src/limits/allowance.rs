//! A rate limit: a debt that grows with what is charged and is paid off as time goes by.
//!
//! The cost of some work is known only when it is done, so an allowance can be overdrawn: then nothing more is granted until
//! it is paid for. The `governor` crate grants what is known beforehand, and has no debts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// How much is granted within a time; nothing at all is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    amount: u64,
    /// The time, in nanoseconds.
    time: u64,
}

impl Rate {
    /// No limit.
    pub(super) const NONE: Self = Self::per_second(0);

    /// So much in a second.
    pub(super) const fn per_second(amount: u64) -> Self {
        let time = SECOND;
        Self { amount, time }
    }

    /// So much within this time.
    pub(super) fn within(amount: u64, time: Duration) -> Self {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { amount, time }
    }

    /// Whether it is a limit.
    pub(super) const fn is_set(self) -> bool {
        self.amount > 0
    }

    /// How many nanoseconds it takes until `amount` is paid off.
    fn time_of(self, amount: u64) -> u64 {
        let rate = self.amount.max(1);
        // A division of 64 bits takes a third of the time, and nearly every amount is small enough.
        if let Some(time) = amount.checked_mul(self.time) {
            return time / rate;
        }
        let time = u128::from(amount) * u128::from(self.time) / u128::from(rate);
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

/// What is left of a rate. The amount of its whole time can be used at once.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// When all that has been charged is paid for, in nanoseconds of the owner's clock.
    paid_at: AtomicU64,
}

impl Allowance {
    /// Whether something is left; else how long it takes until it is.
    pub(super) fn check(&self, rate: Rate, now: u64) -> Result<(), Duration> {
        let debt = self.paid_at.load(Ordering::Relaxed).saturating_sub(now);
        if !rate.is_set() || debt < rate.time {
            return Ok(());
        }
        // One nanosecond more: exactly at the end of the debt there is still nothing left.
        Err(Duration::from_nanos(debt - rate.time + 1))
    }

    /// Whether a whole one is left; else how long it takes until it is.
    pub(super) fn check_one(&self, rate: Rate, now: u64) -> Result<(), Duration> {
        let paid_at = self.paid_at.load(Ordering::Relaxed);
        if !rate.is_set() || paid_at <= now {
            return Ok(());
        }
        let due = paid_at.saturating_add(rate.time_of(1));
        match due.saturating_sub(now.saturating_add(rate.time)) {
            0 => Ok(()),
            wait => Err(Duration::from_nanos(wait)),
        }
    }

    /// Charges an amount that has been used.
    pub(super) fn charge(&self, amount: u64, rate: Rate, now: u64) {
        if !rate.is_set() {
            return;
        }
        let paid = |paid_at: u64| Some(paid_at.max(now).saturating_add(rate.time_of(amount)));
        // The closure gives a value whatever it is given.
        let _ = self
            .paid_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
    }

    /// Charges one, if that much is left; else says how long it takes until it is.
    pub(super) fn take(&self, rate: Rate, now: u64) -> Result<(), Duration> {
        if !rate.is_set() {
            return Ok(());
        }
        let paid = |paid_at: u64| {
            let paid_at = paid_at.max(now).saturating_add(rate.time_of(1));
            (paid_at <= now.saturating_add(rate.time)).then_some(paid_at)
        };
        let taken = self
            .paid_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
        taken.map(|_| ()).map_err(|paid_at| {
            let due = paid_at.saturating_add(rate.time_of(1));
            Duration::from_nanos(due.saturating_sub(now.saturating_add(rate.time)))
        })
    }

    /// Whether all that was charged is paid for.
    pub(super) fn is_paid_off(&self, now: u64) -> bool {
        self.paid_at.load(Ordering::Relaxed) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 7 * SECOND;

    #[test]
    fn as_much_as_a_second_grants_can_be_had_at_once_and_then_one_after_the_other() {
        let (allowance, rate) = (Allowance::default(), Rate::per_second(10));
        for _ in 0..10 {
            assert_eq!(allowance.take(rate, START), Ok(()));
        }
        let wait = Duration::from_millis(100);
        assert_eq!(allowance.take(rate, START), Err(wait));
        assert_eq!(allowance.take(rate, START + SECOND / 10), Ok(()));
        assert_eq!(allowance.take(rate, START + SECOND / 10), Err(wait));
        assert_eq!(allowance.check_one(rate, START + SECOND / 10), Err(wait));
        assert_eq!(allowance.check_one(rate, START + SECOND / 5), Ok(()));
        // An unused allowance is not saved up.
        for _ in 0..10 {
            assert_eq!(allowance.take(rate, START + 100 * SECOND), Ok(()));
        }
        assert!(allowance.take(rate, START + 100 * SECOND).is_err());
    }

    #[test]
    fn a_debt_has_to_be_paid_before_anything_more_is_granted() {
        let (allowance, rate) = (Allowance::default(), Rate::per_second(1000));
        assert_eq!(allowance.check(rate, START), Ok(()));
        allowance.charge(5000, rate, START);
        let wait = allowance.check(rate, START).unwrap_err();
        assert_eq!(wait, Duration::from_nanos(4 * SECOND + 1));
        assert!(allowance.check(rate, START + 4 * SECOND).is_err());
        assert_eq!(allowance.check(rate, START + 4 * SECOND + 1), Ok(()));
        assert!(!allowance.is_paid_off(START + 5 * SECOND - 1));
        assert!(allowance.is_paid_off(START + 5 * SECOND));
    }

    #[test]
    fn a_rate_may_be_of_another_time_than_a_second() {
        let rate = Rate::within(10, Duration::from_mins(5));
        let allowance = Allowance::default();
        for _ in 0..10 {
            assert_eq!(allowance.take(rate, START), Ok(()));
        }
        let wait = Duration::from_secs(30);
        assert_eq!(allowance.take(rate, START), Err(wait));
        assert_eq!(allowance.take(rate, START + 30 * SECOND), Ok(()));
        assert_eq!(allowance.check_one(rate, START + 30 * SECOND), Err(wait));
        assert!(allowance.is_paid_off(START + 330 * SECOND));
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit_and_no_amount_overflows() {
        let allowance = Allowance::default();
        allowance.charge(u64::MAX, Rate::per_second(0), START);
        for _ in 0..1000 {
            assert_eq!(allowance.take(Rate::per_second(0), START), Ok(()));
        }
        assert!(allowance.is_paid_off(START));
        allowance.charge(u64::MAX, Rate::per_second(1), START);
        allowance.charge(u64::MAX, Rate::per_second(1), START);
        assert!(allowance.check(Rate::per_second(1), START).is_err());
        assert!(allowance.take(Rate::per_second(1), START).is_err());
    }
}
