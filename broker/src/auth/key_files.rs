//! The keys for tokens that are in files.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use widecast_protocol::error::chain;

use super::reread::Reread;
use super::token_keys::{KeyError, TokenKey};
use crate::config::{FilePath, JwtSettings, read_regular_file};

/// All that is wrong with the files that have the keys for tokens; there is at least one error.
#[derive(Debug)]
pub struct KeyFileErrors(Vec<KeyFileError>);

impl fmt::Display for KeyFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(|error| chain(error)).collect();
        f.write_str(&all.join("; "))
    }
}

impl Error for KeyFileErrors {}

impl From<KeyFileError> for KeyFileErrors {
    fn from(error: KeyFileError) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for KeyFileErrors {
    type Item = KeyFileError;
    type IntoIter = std::vec::IntoIter<KeyFileError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Why the keys for tokens in a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the key file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no usable key in it.
    #[error("the key file {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

/// The keys for tokens that are in files, as these are now.
pub(super) type KeyFiles = Reread<Vec<TokenKey>, KeyFileErrors>;

/// Reads the files.
///
/// # Errors
/// When some cannot be used: what is wrong with each.
pub(super) fn key_files(jwt: &JwtSettings) -> Result<KeyFiles, KeyFileErrors> {
    let files = jwt.files().cloned().collect();
    let jwt = jwt.clone();
    Reread::new("the keys for tokens", files, move || read_all(&jwt))
}

fn read_all(jwt: &JwtSettings) -> Result<Vec<TokenKey>, KeyFileErrors> {
    let one = |key| vec![key];
    let secrets = jwt
        .secret_files()
        .map(|file| read(file, |bytes| TokenKey::secret(bytes).map(one)));
    let public_keys = jwt
        .public_key_files
        .iter()
        .map(|file| read(file, |bytes| TokenKey::pem(bytes).map(one)));
    let sets = jwt.jwks_files.iter().map(|file| read(file, TokenKey::set));
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    for file in secrets.chain(public_keys).chain(sets) {
        match file {
            Ok(of_file) => keys.extend(of_file),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        return Ok(keys);
    }
    Err(KeyFileErrors(errors))
}

fn read(
    file: &FilePath,
    parse: impl Fn(&[u8]) -> Result<Vec<TokenKey>, KeyError>,
) -> Result<Vec<TokenKey>, KeyFileError> {
    let path = file.path().to_owned();
    let bytes = match read_regular_file(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(KeyFileError::Unreadable { path, source }),
    };
    parse(&bytes).map_err(|source| KeyFileError::Unusable { path, source })
}
