//! What the last credential on a connection has proved. Most clients send the same one with each request, and it is then neither digested
//! nor looked up again.
//!
//! It says only who showed these bytes before: a token that is found here may have ended or been revoked since, and an API key may be
//! used from an address that it is not for, so that whoever asks has to look, as after any other look-up.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use subtle::ConstantTimeEq;

use super::authenticator::ApiKey;
use super::claims::Proof;
use super::proven_tokens::Keys;
use super::token_keys::TokenKey;

/// The longest credential that is kept, in bytes.
const MOST_BYTES: usize = 1024;

/// The last credential that has proved something on a connection. Most connections have none.
#[derive(Default)]
pub struct LastCredential(RefCell<Option<Box<Known>>>);

struct Known {
    credential: Box<[u8]>,
    proved: Proved,
}

enum Proved {
    ApiKey(Arc<ApiKey>),
    Token {
        proof: Arc<Proof>,
        /// The keys that it was checked with. They are not kept from being forgotten, only told from others.
        keys: Vec<Weak<Vec<TokenKey>>>,
    },
}

impl LastCredential {
    /// The API key, if it is this one.
    pub(super) fn api_key(&self, credential: &str) -> Option<Arc<ApiKey>> {
        match &self.0.borrow().as_ref()?.of(credential)?.proved {
            Proved::ApiKey(key) => Some(Arc::clone(key)),
            Proved::Token { .. } => None,
        }
    }

    /// The proof of a token, if it is this one and was checked with these keys.
    pub(super) fn proof(
        &self,
        token: &str,
        keys: impl Iterator<Item = Arc<Vec<TokenKey>>>,
    ) -> Option<Arc<Proof>> {
        match &self.0.borrow().as_ref()?.of(token)?.proved {
            Proved::Token { proof, keys: of } if is_same(of, keys) => Some(Arc::clone(proof)),
            _ => None,
        }
    }

    pub(super) fn keep_api_key(&self, credential: &str, key: &Arc<ApiKey>) {
        self.keep(credential, Proved::ApiKey(Arc::clone(key)));
    }

    pub(super) fn keep_proof(&self, token: &str, keys: &Keys, proof: &Arc<Proof>) {
        let proof = Arc::clone(proof);
        let keys = keys.iter().map(Arc::downgrade).collect();
        self.keep(token, Proved::Token { proof, keys });
    }

    fn keep(&self, credential: &str, proved: Proved) {
        let known = (credential.len() <= MOST_BYTES).then(|| {
            Box::new(Known {
                credential: credential.as_bytes().into(),
                proved,
            })
        });
        self.0.replace(known);
    }
}

impl Known {
    /// This, if it is about the same credential. Takes as long wherever two of the same length differ.
    fn of(&self, credential: &str) -> Option<&Self> {
        let (one, other) = (&*self.credential, credential.as_bytes());
        let difference = one
            .iter()
            .zip(other)
            .fold(0_u8, |sum, (one, other)| sum | (one ^ other));
        (one.len() == other.len() && difference.ct_eq(&0).into()).then_some(self)
    }
}

/// Whether these are the very same keys, and not only equal ones.
fn is_same(one: &[Weak<Vec<TokenKey>>], other: impl Iterator<Item = Arc<Vec<TokenKey>>>) -> bool {
    let one = one.iter().map(Weak::as_ptr);
    one.eq(other.map(|other| Arc::as_ptr(&other)))
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::auth::grant::Grant;

    #[test]
    fn only_the_same_bytes_are_the_same_credential() {
        let last = LastCredential::default();
        assert!(last.api_key("wck_1").is_none());
        let key = Arc::new(ApiKey::of_test("backend", Grant::default()));
        last.keep_api_key("wck_1", &key);
        assert!(last.api_key("wck_1").is_some());
        for other in ["wck_2", "Wck_1", "wck_", "wck_11", ""] {
            assert!(last.api_key(other).is_none(), "{other}");
        }
        assert!(last.proof("wck_1", iter::empty()).is_none());
    }

    #[test]
    fn another_credential_takes_the_place_of_the_last() {
        let (last, keys) = (LastCredential::default(), Keys::new());
        last.keep_proof("a.b.c", &keys, &Proof::of_test());
        last.keep_proof("a.b.d", &keys, &Proof::of_test());
        assert!(last.proof("a.b.c", keys.iter().cloned()).is_none());
        assert!(last.proof("a.b.d", keys.iter().cloned()).is_some());
        assert!(last.api_key("a.b.d").is_none());
        let long = "x".repeat(MOST_BYTES + 1);
        last.keep_proof(&long, &keys, &Proof::of_test());
        assert!(last.proof(&long, keys.iter().cloned()).is_none());
        assert!(last.proof("a.b.d", keys.iter().cloned()).is_none());
    }

    #[test]
    fn a_proof_counts_for_the_keys_of_its_check() {
        let last = LastCredential::default();
        let keys: Keys = vec![Arc::default()];
        last.keep_proof("a.b.c", &keys, &Proof::of_test());
        assert!(last.proof("a.b.c", keys.iter().cloned()).is_some());
        // Equal keys, but not these, and these, but not alone.
        assert!(last.proof("a.b.c", iter::once(Arc::default())).is_none());
        let more = vec![Arc::clone(&keys[0]), Arc::default()];
        assert!(last.proof("a.b.c", more.into_iter()).is_none());
        assert!(last.proof("a.b.c", iter::empty()).is_none());
    }
}
