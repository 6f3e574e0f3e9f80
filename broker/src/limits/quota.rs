//! A quota: how much one session, user, API key or channel may publish in a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::allowance::{Allowance, Rate};
use super::share::Exceeded;
use super::table::Counted;
use crate::metrics::ShareLimit;

/// The rates of one kind of quota, each with the limit that is reported when it is exceeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) publications: Rate,
    pub(super) bytes: Rate,
    pub(super) limits: [ShareLimit; 2],
}

impl Rates {
    /// Whether anything is limited.
    pub(super) fn are_set(&self) -> bool {
        self.publications.0 > 0 || self.bytes.0 > 0
    }
}

/// What a session, user, API key or channel has used of its quota.
#[derive(Debug, Default)]
pub struct Quota {
    publications: Allowance,
    bytes: Allowance,
    /// How many sessions a user has.
    sessions: AtomicUsize,
}

impl Quota {
    /// Whether there may be another publication.
    pub(super) fn check(&self, rates: Rates, now: u64) -> Result<(), Exceeded> {
        let [publications, bytes] = rates.limits;
        let exceeded = |limit| move |wait| Exceeded { limit, wait };
        self.publications
            .check_one(rates.publications, now)
            .map_err(exceeded(publications))?;
        self.bytes.check(rates.bytes, now).map_err(exceeded(bytes))
    }

    /// Charges a publication of so many bytes.
    pub(super) fn charge(&self, bytes: usize, rates: Rates, now: u64) {
        self.publications.charge(1, rates.publications, now);
        self.bytes.charge(bytes as u64, rates.bytes, now);
    }

    /// Counts a session, unless `most` are counted already.
    pub(super) fn permit(self: Arc<Self>, most: usize) -> Option<Permit> {
        // Given back when it is dropped, whatever is decided below.
        let before = self.sessions.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Some(self));
        (before < most).then_some(permit)
    }
}

impl Counted for Quota {
    fn is_idle(&self, now: u64) -> bool {
        self.publications.is_paid_off(now) && self.bytes.is_paid_off(now)
    }
}

/// A session that is counted as one of its user's until this is dropped; by default it is counted nowhere.
#[derive(Debug, Default)]
pub struct Permit(Option<Arc<Quota>>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(quota) = &self.0 {
            quota.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
