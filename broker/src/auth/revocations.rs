//! Tokens that count no longer although their end has not come.
//!
//! A revocation is kept until every token that it concerns has ended by itself. Nothing is on disk: no engine keeps anything over a
//! restart yet, and when one does, this is the place that asks it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use super::claims::{MAX_NAME_BYTES, Proof};

/// Adding a revocation also forgets those that have ended, but not more often than this.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Which tokens are revoked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevokedTokens {
    /// Those of a user that were issued so far.
    OfUser(Arc<str>),
    /// The one of this name (`jti`).
    Named(Arc<str>),
}

impl RevokedTokens {
    const USER: &'static str = "user";
    const NAME: &'static str = "jti";

    /// Reads an id as [`RevokedTokens`] are shown: `user:…` or `jti:…`.
    pub fn parse(id: &str) -> Option<Self> {
        let (kind, name) = id.split_once(':')?;
        let make = match kind {
            Self::USER => Self::OfUser,
            Self::NAME => Self::Named,
            _ => return None,
        };
        (1..=MAX_NAME_BYTES)
            .contains(&name.len())
            .then(|| make(name.into()))
    }
}

impl fmt::Display for RevokedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfUser(user) => write!(f, "{}:{user}", Self::USER),
            Self::Named(name) => write!(f, "{}:{name}", Self::NAME),
        }
    }
}

/// Tokens that are revoked, and for how long that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub tokens: RevokedTokens,
    /// The time of the revocation. Tokens of the user that were issued later are not revoked.
    pub revoked_at: SystemTime,
    /// When all of them have ended by themselves.
    pub expires_at: SystemTime,
}

/// There are as many revocations as `auth.max_revocations` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} revocations are kept, and auth.max_revocations allows no more: delete some, or let tokens live for less time"
)]
pub struct TooManyRevocations(usize);

/// Every revocation that is kept.
#[derive(Debug)]
pub struct Revocations {
    kept: RwLock<Kept>,
    most: usize,
    /// How often a token was refused because it is revoked.
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    terms: HashMap<RevokedTokens, Terms>,
    /// The same, for those who list them.
    in_order: BTreeSet<RevokedTokens>,
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    revoked_at: SystemTime,
    expires_at: SystemTime,
}

impl Revocations {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: RwLock::default(),
            most,
            refused: AtomicU64::new(0),
        }
    }

    /// Keeps a revocation. Tokens that are revoked already are from now on revoked anew, and for the longer time.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn add(&self, revocation: Revocation) -> Result<Revocation, TooManyRevocations> {
        let mut kept = self.write();
        let Revocation {
            tokens,
            revoked_at,
            mut expires_at,
        } = revocation;
        if let Some(known) = kept.terms.get_mut(&tokens) {
            expires_at = expires_at.max(known.expires_at);
            *known = Terms {
                revoked_at,
                expires_at,
            };
        } else {
            kept.forget_those_over(self.most);
            if kept.terms.len() >= self.most {
                return Err(TooManyRevocations(self.most));
            }
            let terms = Terms {
                revoked_at,
                expires_at,
            };
            kept.terms.insert(tokens.clone(), terms);
            kept.in_order.insert(tokens.clone());
        }
        Ok(Revocation {
            tokens,
            revoked_at,
            expires_at,
        })
    }

    /// Takes a revocation back. Returns whether it was there.
    pub fn remove(&self, tokens: &RevokedTokens) -> bool {
        let mut kept = self.write();
        kept.in_order.remove(tokens);
        let removed = kept.terms.remove(tokens);
        removed.is_some_and(|terms| terms.expires_at > SystemTime::now())
    }

    /// At most so many of those behind `after`, in order: tokens of users first.
    pub fn page(&self, after: Option<&RevokedTokens>, limit: usize) -> Vec<Revocation> {
        use std::ops::Bound::{Excluded, Unbounded};
        let now = SystemTime::now();
        let kept = self.read();
        let begin = after.map_or(Unbounded, Excluded);
        let behind = kept.in_order.range((begin, Unbounded));
        let page = behind.filter_map(|tokens| {
            let terms = kept.terms.get(tokens)?;
            (terms.expires_at > now).then(|| Revocation {
                tokens: tokens.clone(),
                revoked_at: terms.revoked_at,
                expires_at: terms.expires_at,
            })
        });
        page.take(limit).collect()
    }

    /// How many are kept, without those that concern no living token any more.
    pub fn count(&self) -> usize {
        let now = SystemTime::now();
        let kept = self.read();
        let living = kept.terms.values().filter(|terms| terms.expires_at > now);
        living.count()
    }

    /// How often a token was refused because it is revoked.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether a token is revoked that proves this, and is refused therefore: two look-ups, however many revocations there are.
    pub(super) fn refuses(&self, proof: &Proof) -> bool {
        let is_revoked = self.is_revoked(proof);
        if is_revoked {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_revoked
    }

    fn is_revoked(&self, proof: &Proof) -> bool {
        let kept = self.read();
        if kept.terms.is_empty() {
            return false;
        }
        let now = SystemTime::now();
        let found = |tokens: RevokedTokens| {
            let terms = kept.terms.get(&tokens);
            terms.filter(|terms| terms.expires_at > now)
        };
        let user = proof.user.clone().map(RevokedTokens::OfUser);
        let is_users = user.and_then(found).is_some_and(|terms| {
            // A token that does not say when it was issued may be as old as any.
            proof
                .issued_at
                .is_none_or(|issued| issued <= terms.revoked_at)
        });
        let name = proof.name.clone().map(RevokedTokens::Named);
        is_users || name.and_then(found).is_some()
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        // The tables are whole between any two calls, so that a panic elsewhere leaves them usable.
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets those that concern no living token any more, once in a while, or when there is no room.
    fn forget_those_over(&mut self, most: usize) {
        let is_due = self
            .swept
            .is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY);
        // While there is no room each attempt looks, but not more often than once in a second.
        let is_full = self.terms.len() >= most
            && self
                .swept
                .is_none_or(|swept| swept.elapsed() >= Duration::from_secs(1));
        if !is_due && !is_full {
            return;
        }
        self.swept = Some(Instant::now());
        let now = SystemTime::now();
        self.terms.retain(|_, terms| terms.expires_at > now);
        let terms = &self.terms;
        self.in_order.retain(|tokens| terms.contains_key(tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::Grant;

    fn user(name: &str) -> RevokedTokens {
        RevokedTokens::OfUser(name.into())
    }

    fn revocation(tokens: RevokedTokens, revoked_at: SystemTime, kept: Duration) -> Revocation {
        Revocation {
            tokens,
            revoked_at,
            expires_at: SystemTime::now() + kept,
        }
    }

    fn proof(user: Option<&str>, name: Option<&str>, issued_at: Option<SystemTime>) -> Proof {
        Proof {
            user: user.map(Arc::from),
            name: name.map(Arc::from),
            issued_at,
            expires_at: SystemTime::now() + Duration::from_hours(1),
            grant: Grant::default(),
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_revocation_of_a_user_concerns_the_tokens_that_were_issued_before() {
        let revocations = Revocations::new(10);
        let now = SystemTime::now();
        revocations.add(revocation(user("7"), now, MINUTE)).unwrap();
        for (issued, is_revoked) in [
            (Some(now), true),
            (Some(now - MINUTE), true),
            (None, true),
            (Some(now + Duration::from_secs(1)), false),
        ] {
            let found = revocations.refuses(&proof(Some("7"), Some("a"), issued));
            assert_eq!(found, is_revoked, "{issued:?}");
        }
        assert!(!revocations.refuses(&proof(Some("8"), None, None)));
        assert!(!revocations.refuses(&proof(None, Some("7"), None)));
        assert!(revocations.remove(&user("7")) && !revocations.remove(&user("7")));
        assert!(!revocations.refuses(&proof(Some("7"), None, None)));
    }

    #[test]
    fn a_revocation_by_name_concerns_one_token_until_it_is_over() {
        let revocations = Revocations::new(10);
        let named = RevokedTokens::Named("a".into());
        let now = SystemTime::now();
        let one = proof(Some("7"), Some("a"), Some(now + MINUTE));
        let over = Revocation {
            expires_at: now,
            ..revocation(named.clone(), now, MINUTE)
        };
        revocations.add(over).unwrap();
        assert!(!revocations.refuses(&one));
        revocations.add(revocation(named, now, MINUTE)).unwrap();
        assert!(revocations.refuses(&one));
        assert!(!revocations.refuses(&proof(Some("7"), Some("b"), None)));
    }

    #[test]
    fn the_longer_time_counts_when_tokens_are_revoked_again() {
        let revocations = Revocations::new(10);
        let now = SystemTime::now();
        let first = revocation(user("7"), now - MINUTE, MINUTE * 3);
        revocations.add(first.clone()).unwrap();
        let second = revocations.add(revocation(user("7"), now, MINUTE)).unwrap();
        assert_eq!(second.revoked_at, now);
        assert_eq!(second.expires_at, first.expires_at);
    }

    #[test]
    fn there_is_room_for_so_many_and_they_come_in_pages() {
        let revocations = Revocations::new(3);
        let now = SystemTime::now();
        for name in ["b", "a", "c"] {
            revocations
                .add(revocation(user(name), now, MINUTE))
                .unwrap();
        }
        let full = revocations.add(revocation(user("d"), now, MINUTE));
        assert_eq!(full, Err(TooManyRevocations(3)));
        // One that is there already takes no more room.
        assert!(revocations.add(revocation(user("a"), now, MINUTE)).is_ok());
        let page = |after: Option<&str>, limit| {
            let after = after.map(user);
            let page = revocations.page(after.as_ref(), limit);
            let ids: Vec<_> = page.iter().map(|it| it.tokens.to_string()).collect();
            ids.join(" ")
        };
        assert_eq!(page(None, 2), "user:a user:b");
        assert_eq!(page(Some("b"), 2), "user:c");
    }

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        for id in ["user:7", "jti:a:b", "user:ü", "jti: "] {
            let tokens = RevokedTokens::parse(id).unwrap();
            assert_eq!(tokens.to_string(), id);
        }
        for other in [
            "",
            "user",
            "user:",
            "7",
            "sub:7",
            &format!("user:{}", "x".repeat(256)),
        ] {
            assert_eq!(RevokedTokens::parse(other), None, "{other}");
        }
    }
}
