//! The hash of an API key, which is all that the settings have of it.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;

use super::value::Word;

/// The SHA-256 digest of an API key.
///
/// A slow digest such as Argon2 protects texts that can be guessed. A key has 256 random bits, so that nobody guesses it,
/// and a slow digest would only give strangers a way to keep the broker busy.
#[derive(Clone, Copy, Default)]
pub struct KeyHash([u8; SHA256_OUTPUT_LEN]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        let mut hash = Self::default();
        hash.0
            .copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        hash
    }

    /// Whether it is the hash of a key, and not what stands where none is set.
    pub(super) fn is_set(&self) -> bool {
        *self != Self::default()
    }
}

impl Word for KeyHash {
    const EXPECTED: &'static str = "the hash of an API key as `widecast key` prints it";

    fn read(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    fn text(&self) -> String {
        if self.is_set() {
            BASE64_URL_SAFE_NO_PAD.encode(self.0)
        } else {
            String::new()
        }
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// Takes as long wherever two differ.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_shown() {
        let hash = KeyHash::of("wck_1");
        assert_eq!(KeyHash::read(&hash.to_string()), Some(hash));
        assert_ne!(hash, KeyHash::of("wck_2"));
        assert!(hash.is_set() && !KeyHash::default().is_set());
        assert_eq!(KeyHash::default().to_string(), "");
        for bad in ["", "short", "wck_1"] {
            assert!(KeyHash::read(bad).is_none(), "{bad}");
        }
    }
}
