//! A quota: how much one session, user, API key or channel may publish in a second, and what else is counted for a user.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::allowance::{Allowance, Rate};
use super::exceeded::Exceeded;
use super::members::{Lists, Members};
use super::quotas::Publishing;
use super::table::Counted;
use crate::metrics::ShareLimit;

/// The rates of one kind of quota, each with the limit that is reported when it is exceeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) publications: Rate,
    pub(super) bytes: Rate,
    /// How many idempotency keys may be used, for those where that is limited.
    pub(super) keys: Rate,
    /// Those of publications and of their bytes.
    pub(super) limits: [ShareLimit; 2],
}

impl Rates {
    /// Whether anything is limited.
    pub(super) fn are_set(&self) -> bool {
        self.publications.is_set() || self.bytes.is_set() || self.keys.is_set()
    }
}

/// What a session, user, API key or channel has used of its quota.
#[derive(Debug, Default)]
pub struct Quota {
    publications: Allowance,
    bytes: Allowance,
    keys: Allowance,
    members: Members,
    /// How many sessions a user has.
    sessions: AtomicUsize,
}

impl Quota {
    /// Whether there may be another publication, with an idempotency key if it is `keyed`.
    pub(super) fn check(&self, keyed: bool, rates: Rates, now: u64) -> Result<(), Exceeded> {
        let [publications, bytes] = rates.limits;
        let exceeded = |limit| move |wait| Exceeded { limit, wait };
        self.publications
            .check_one(rates.publications, now)
            .map_err(exceeded(publications))?;
        if keyed {
            self.keys
                .check_one(rates.keys, now)
                .map_err(exceeded(ShareLimit::UserIdempotencyKeys))?;
        }
        self.bytes.check(rates.bytes, now).map_err(exceeded(bytes))
    }

    /// Charges a publication.
    pub(super) fn charge(&self, publishing: &Publishing<'_>, rates: Rates, now: u64) {
        let Publishing { bytes, keyed, .. } = *publishing;
        self.keys.charge(u64::from(keyed), rates.keys, now);
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
        let allowances = [&self.publications, &self.bytes, &self.keys];
        let mut allowances = allowances.iter();
        allowances.all(|allowance| allowance.is_paid_off(now)) && self.members.is_empty()
    }
}

impl Lists for Quota {
    fn members(&self) -> &Members {
        &self.members
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
