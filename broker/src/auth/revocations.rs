//! Tokens that count no longer although their end has not come.
//!
//! A revocation is kept until every token that it concerns has ended by itself. Nodes tell each other of revocations, and engines
//! keep them: what is told is a [`RevocationNote`], and of two notes on the same tokens the one with the higher version counts, in
//! whatever order they come.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::claims::{MAX_NAME_BYTES, Proof};

/// Adding a revocation also forgets those that have ended, but not more often than this.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// How long it is remembered that a revocation was taken back, so that no node that was cut off brings it up again.
const REMEMBER_TAKEN_BACK: Duration = Duration::from_hours(1);

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

/// A revocation, or that it was taken back, as nodes tell each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationNote {
    /// The revocation. The end of one that was taken back is until when that is remembered.
    pub revocation: Revocation,
    /// Of two notes on the same tokens the one with the higher version counts: about when it was made, in milliseconds since 1970.
    pub version: u64,
    /// Whether the tokens are no longer revoked.
    pub is_taken_back: bool,
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
    /// Whether anything was ever to be kept. In most brokers nothing is, and no request there takes the lock.
    is_used: AtomicBool,
    most: usize,
    /// How often a token was refused because it is revoked.
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    terms: HashMap<RevokedTokens, Terms>,
    /// Those that are in force, for those who list them.
    in_order: BTreeSet<RevokedTokens>,
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    revoked_at: SystemTime,
    expires_at: SystemTime,
    version: u64,
    is_taken_back: bool,
}

impl Terms {
    fn is_in_force(&self, now: SystemTime) -> bool {
        !self.is_taken_back && self.expires_at > now
    }

    fn note(&self, tokens: &RevokedTokens) -> RevocationNote {
        RevocationNote {
            revocation: Revocation {
                tokens: tokens.clone(),
                revoked_at: self.revoked_at,
                expires_at: self.expires_at,
            },
            version: self.version,
            is_taken_back: self.is_taken_back,
        }
    }
}

/// The version of what is made now, after what is known already.
fn version_after(known: Option<&Terms>) -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = u64::try_from(since_1970.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    known.map_or(now, |known| now.max(known.version + 1))
}

impl Revocations {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: RwLock::default(),
            is_used: AtomicBool::new(false),
            most,
            refused: AtomicU64::new(0),
        }
    }

    /// Keeps a revocation. Tokens that are revoked already are from now on revoked anew, and for the longer time.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn add(&self, revocation: Revocation) -> Result<RevocationNote, TooManyRevocations> {
        let mut kept = self.write();
        let Revocation {
            tokens,
            revoked_at,
            mut expires_at,
        } = revocation;
        let known = kept.terms.get(&tokens).copied();
        if let Some(known) = known.filter(|known| !known.is_taken_back) {
            expires_at = expires_at.max(known.expires_at);
        } else {
            kept.forget_those_over(self.most);
            if kept.in_order.len() >= self.most {
                return Err(TooManyRevocations(self.most));
            }
        }
        let terms = Terms {
            revoked_at,
            expires_at,
            version: version_after(known.as_ref()),
            is_taken_back: false,
        };
        kept.set(&tokens, terms);
        Ok(terms.note(&tokens))
    }

    /// Takes a revocation back, if it is there.
    pub fn remove(&self, tokens: &RevokedTokens) -> Option<RevocationNote> {
        let mut kept = self.write();
        let (known, now) = (*kept.terms.get(tokens)?, SystemTime::now());
        if !known.is_in_force(now) {
            return None;
        }
        let terms = Terms {
            // Later it would be in force nowhere.
            expires_at: known.expires_at.min(now + REMEMBER_TAKEN_BACK),
            version: version_after(Some(&known)),
            is_taken_back: true,
            ..known
        };
        kept.set(tokens, terms);
        if kept.terms.len() > 2 * self.most.max(kept.in_order.len()) {
            // So many were taken back that they would take more room than all that may be kept.
            kept.terms.remove(tokens);
        }
        Some(terms.note(tokens))
    }

    /// Takes what another node tells, or what an engine has kept. Returns whether it is new here. There is room for what others
    /// had room for.
    pub fn learn(&self, note: RevocationNote) -> bool {
        let mut kept = self.write();
        let Revocation {
            tokens,
            revoked_at,
            expires_at,
        } = note.revocation;
        let is_old = |known: &Terms| known.version >= note.version;
        if expires_at <= SystemTime::now() || kept.terms.get(&tokens).is_some_and(is_old) {
            return false;
        }
        kept.forget_those_over(self.most);
        let terms = Terms {
            revoked_at,
            expires_at,
            version: note.version,
            is_taken_back: note.is_taken_back,
        };
        kept.set(&tokens, terms);
        true
    }

    /// All that others may have to be told.
    pub fn notes(&self) -> HashMap<RevokedTokens, RevocationNote> {
        let now = SystemTime::now();
        let kept = self.read();
        let living = kept
            .terms
            .iter()
            .filter(|(_, terms)| terms.expires_at > now);
        let notes = living.map(|(tokens, terms)| (tokens.clone(), terms.note(tokens)));
        notes.collect()
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
            terms.is_in_force(now).then(|| Revocation {
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
        let in_force = kept.terms.values().filter(|terms| terms.is_in_force(now));
        in_force.count()
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
        if !self.is_used.load(Ordering::Acquire) {
            return false;
        }
        let kept = self.read();
        if kept.terms.is_empty() {
            return false;
        }
        let now = SystemTime::now();
        let found = |tokens: RevokedTokens| {
            let terms = kept.terms.get(&tokens);
            terms.filter(|terms| terms.is_in_force(now))
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
        self.is_used.store(true, Ordering::Release);
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn set(&mut self, tokens: &RevokedTokens, terms: Terms) {
        if terms.is_taken_back {
            self.in_order.remove(tokens);
        } else {
            self.in_order.insert(tokens.clone());
        }
        self.terms.insert(tokens.clone(), terms);
    }

    /// Forgets those that concern no living token any more, once in a while, or when there is no room.
    fn forget_those_over(&mut self, most: usize) {
        let is_due = self
            .swept
            .is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY);
        // While there is no room each attempt looks, but not more often than once in a second.
        let is_full = self.in_order.len() >= most
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
            info: None,
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
        assert!(revocations.remove(&user("7")).is_some());
        assert!(revocations.remove(&user("7")).is_none());
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
        assert_eq!(second.revocation.revoked_at, now);
        assert_eq!(second.revocation.expires_at, first.expires_at);
    }

    #[test]
    fn of_what_nodes_tell_the_newest_counts_in_whatever_order_it_comes() {
        let (one, other) = (Revocations::new(1), Revocations::new(1));
        let now = SystemTime::now();
        let proof = proof(Some("7"), None, None);
        let made = one.add(revocation(user("7"), now, MINUTE)).unwrap();
        let back = one.remove(&user("7")).unwrap();
        let anew = one.add(revocation(user("7"), now, MINUTE)).unwrap();
        assert!(made.version < back.version && back.version < anew.version);
        assert!(other.learn(back.clone()));
        assert!(!other.learn(made.clone()) && !other.refuses(&proof));
        assert!(other.learn(anew.clone()) && other.refuses(&proof));
        assert!(!other.learn(back) && !other.learn(anew.clone()));
        assert!(other.refuses(&proof));
        // There is room for what others had room for, also where that is full.
        let more = RevocationNote {
            revocation: revocation(user("8"), now, MINUTE),
            ..made
        };
        assert!(other.learn(more));
        assert_eq!(other.count(), 2);
        assert_eq!(other.notes().get(&user("7")), Some(&anew));
        let over = RevocationNote {
            revocation: Revocation {
                expires_at: now,
                ..revocation(user("9"), now, MINUTE)
            },
            ..anew
        };
        assert!(!other.learn(over));
    }

    #[test]
    fn what_was_taken_back_takes_no_room_and_is_made_anew() {
        let revocations = Revocations::new(1);
        let now = SystemTime::now();
        revocations.add(revocation(user("7"), now, MINUTE)).unwrap();
        revocations.remove(&user("7")).unwrap();
        assert_eq!(
            (revocations.count(), revocations.page(None, 9)),
            (0, vec![])
        );
        revocations.add(revocation(user("8"), now, MINUTE)).unwrap();
        let full = revocations.add(revocation(user("7"), now, MINUTE));
        assert_eq!(full, Err(TooManyRevocations(1)));
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
