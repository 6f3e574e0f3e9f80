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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::token::{Expectations, check, sign};
    use super::*;
    use crate::auth::Claims;
    use crate::config::Layers;

    fn keys(setting: &str) -> Vec<TokenKey> {
        let layers = Layers::new().set(&format!("auth.jwt.hmac_secret_file={setting}"));
        read_all(&layers.load().unwrap().config.jwt).unwrap()
    }

    #[test]
    fn while_one_secret_takes_the_place_of_another_both_count() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = ["new", "old"].map(|name| name.repeat(11));
        let files = ["new.key", "old.key"].map(|name| directory.path().join(name));
        for (file, secret) in files.iter().zip(&secrets) {
            fs::write(file, secret).unwrap();
        }
        let [new, old] = files.each_ref().map(|file| file.to_str().unwrap());
        let both = [Arc::new(keys(&format!("{new},{old}")))];
        let only = [Arc::new(keys(new))];
        let expected = Expectations {
            max_subscriptions: 1,
            ..Expectations::default()
        };
        for (secret, counts_later) in secrets.iter().zip([true, false]) {
            let claims: Claims =
                serde_json::from_value(serde_json::json!({ "exp": 1e10 })).unwrap();
            let token = sign(secret.as_bytes(), &claims).unwrap();
            assert!(check(&token, &both, &expected).is_ok());
            assert_eq!(check(&token, &only, &expected).is_ok(), counts_later);
        }
        assert!(keys("").is_empty());
    }
}
