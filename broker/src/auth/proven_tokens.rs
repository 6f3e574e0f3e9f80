//! The proofs of tokens that were checked lately. A client that sends its token with every request would have its signature checked each
//! time, which takes several microseconds, and with public keys tens of them.
//!
//! A proof counts for the keys that its token was checked with: when these change, all proofs are forgotten. A token that is found here
//! may have ended or been revoked since, so that whoever asks has to look.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use lru::LruCache;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::claims::Proof;
use super::token_keys::TokenKey;

/// How many proofs are kept; of more, those go that nobody has asked for the longest.
const MOST: NonZeroUsize = NonZeroUsize::new(2048).expect("it is not zero");

/// The longest token whose proof is kept, in bytes: together they take a few megabytes at most.
const MOST_TOKEN_BYTES: usize = 1024;

/// The keys that a token is checked with.
pub(super) type Keys = Vec<Arc<Vec<TokenKey>>>;

/// The name of a token here: its digest, because the token itself is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; SHA256_OUTPUT_LEN]);

impl TokenDigest {
    /// The digest of a token, unless the token is so long that its proof is not kept.
    pub(super) fn of(token: &str) -> Option<Self> {
        if token.len() > MOST_TOKEN_BYTES {
            return None;
        }
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Some(Self(bytes))
    }
}

/// The proofs of tokens that were checked lately.
pub(super) struct ProvenTokens(Mutex<Known>);

struct Known {
    keys: Keys,
    proofs: LruCache<TokenDigest, Arc<Proof>, RandomState>,
}

impl Default for ProvenTokens {
    fn default() -> Self {
        Self(Mutex::new(Known {
            keys: Keys::new(),
            proofs: LruCache::with_hasher(MOST, RandomState::default()),
        }))
    }
}

impl ProvenTokens {
    /// The proof of a token, if it was checked with these keys.
    pub(super) fn find(&self, token: &TokenDigest, keys: &Keys) -> Option<Arc<Proof>> {
        let mut known = self.known();
        if !is_same(&known.keys, keys) {
            return None;
        }
        known.proofs.get(token).cloned()
    }

    /// Keeps the proof of a token that was checked with these keys.
    pub(super) fn keep(&self, token: TokenDigest, keys: &Keys, proof: &Arc<Proof>) {
        let mut known = self.known();
        if !is_same(&known.keys, keys) {
            known.proofs.clear();
            known.keys.clone_from(keys);
        }
        known.proofs.put(token, Arc::clone(proof));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The table is whole between any two calls, so that a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether these are the very same keys, and not only equal ones.
fn is_same(one: &Keys, other: &Keys) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| Arc::ptr_eq(one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_for_its_token_and_for_the_keys_of_its_check() {
        let proven = ProvenTokens::default();
        let keys: Keys = vec![Arc::default()];
        let (one, other) = (TokenDigest::of("a").unwrap(), TokenDigest::of("b").unwrap());
        proven.keep(one, &keys, &Proof::of_test());
        assert!(proven.find(&one, &keys).is_some());
        assert!(proven.find(&other, &keys).is_none());
        // Equal keys, but not these.
        let changed: Keys = vec![Arc::default()];
        assert!(proven.find(&one, &changed).is_none());
        proven.keep(other, &changed, &Proof::of_test());
        assert!(proven.find(&one, &keys).is_none());
        assert!(proven.find(&one, &changed).is_none());
        assert!(proven.find(&other, &changed).is_some());
    }

    #[test]
    fn only_so_many_proofs_are_kept_and_none_of_long_tokens() {
        let proven = ProvenTokens::default();
        let keys = Keys::new();
        let digest = |number: usize| TokenDigest::of(&number.to_string()).unwrap();
        for number in 0..=MOST.get() {
            proven.keep(digest(number), &keys, &Proof::of_test());
        }
        assert!(proven.find(&digest(0), &keys).is_none());
        assert!(proven.find(&digest(1), &keys).is_some());
        assert!(TokenDigest::of(&"x".repeat(MOST_TOKEN_BYTES)).is_some());
        assert!(TokenDigest::of(&"x".repeat(MOST_TOKEN_BYTES + 1)).is_none());
    }
}
