//! Signs requests, so that the hook knows that they come from the broker and are not old.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::auth::Reread;
use crate::config::{FilePath, read_regular_file};

/// The shortest secret, in bytes: as many as the digest has (RFC 2104, section 3).
const LEAST_BYTES: usize = 32;

/// Why the secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret of the authorisation hook {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too short: it could be guessed.
    #[error(
        "the secret of the authorisation hook {} has {bytes} bytes, at least {LEAST_BYTES} are needed: make one with `openssl rand -base64 48`",
        path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
}

/// Signs requests with the secret as its file has it now.
pub(super) struct Signer(Reread<Key, SecretError>);

/// A signature, and the time that is signed with the body.
pub(super) struct Signature {
    /// In seconds since 1970-01-01 UTC.
    pub(super) timestamp: String,
    /// In lower-case hexadecimal digits.
    pub(super) digest: String,
}

impl Signer {
    /// A signer with the secret in this file.
    ///
    /// # Errors
    /// When the secret cannot be used.
    pub(super) fn new(file: &FilePath) -> Result<Self, SecretError> {
        let read = {
            let path = file.path().to_owned();
            move || read(&path)
        };
        let name = "the secret of the authorisation hook";
        Reread::new(name, vec![file.clone()], read).map(Self)
    }

    /// Signs a body that is sent now.
    pub(super) fn sign_now(&self, body: &[u8]) -> Signature {
        let now = SystemTime::now();
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        signature(&self.0.get(now), since_1970.as_secs(), body)
    }
}

fn read(path: &Path) -> Result<Key, SecretError> {
    let secret = read_regular_file(path).map_err(|source| {
        let path = path.to_owned();
        SecretError::Unreadable { path, source }
    })?;
    let secret = secret.trim_ascii();
    let bytes = secret.len();
    if bytes < LEAST_BYTES {
        let path = path.to_owned();
        return Err(SecretError::Short { path, bytes });
    }
    Ok(Key::new(HMAC_SHA256, secret))
}

fn signature(key: &Key, seconds: u64, body: &[u8]) -> Signature {
    let timestamp = seconds.to_string();
    let signed = [timestamp.as_bytes(), b".", body].concat();
    let mut digest = String::with_capacity(64);
    for byte in sign(key, &signed).as_ref() {
        // A text takes everything that is written to it.
        let _ = write!(digest, "{byte:02x}");
    }
    Signature { timestamp, digest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl dgst -sha256 -hmac` makes it.
    #[test]
    fn the_signature_is_that_of_the_time_and_the_body() {
        let key = Key::new(HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
        let signature = signature(&key, 1_700_000_000, br#"{"event":"connect"}"#);
        assert_eq!(signature.timestamp, "1700000000");
        insta::assert_snapshot!(signature.digest, @"3e0f613ec84736d0cf30c0afbe3d8e7b57a311404fb155ae5eee9e3b8ce05ad7");
    }
}
