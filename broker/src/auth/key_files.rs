//! The keys for tokens that are in files.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::reread::Reread;
use super::token_keys::{KeyError, TokenKey};
use crate::config::{FilePath, JwtSettings};

/// Why the keys for tokens cannot be used.
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
pub(super) type KeyFiles = Reread<Vec<TokenKey>, KeyFileError>;

/// Reads the files.
///
/// # Errors
/// When one cannot be used.
pub(super) fn key_files(jwt: &JwtSettings) -> Result<KeyFiles, KeyFileError> {
    let files = jwt.files().cloned().collect();
    let jwt = jwt.clone();
    Reread::new("the keys for tokens", files, move || read_all(&jwt))
}

fn read_all(jwt: &JwtSettings) -> Result<Vec<TokenKey>, KeyFileError> {
    let mut keys = Vec::new();
    for file in jwt.secret_files() {
        keys.push(read(file, TokenKey::secret)?);
    }
    for file in &jwt.public_key_files {
        keys.push(read(file, TokenKey::pem)?);
    }
    for file in &jwt.jwks_files {
        keys.extend(read(file, TokenKey::set)?);
    }
    Ok(keys)
}

fn read<T>(
    file: &FilePath,
    parse: impl Fn(&[u8]) -> Result<T, KeyError>,
) -> Result<T, KeyFileError> {
    let path = file.path().to_owned();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(KeyFileError::Unreadable { path, source }),
    };
    parse(&bytes).map_err(|source| KeyFileError::Unusable { path, source })
}
