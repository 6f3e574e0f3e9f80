//! Finds out what a credential proves: an API key or a token, checked with the configured keys.

use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use ipnet::IpNet;
use rand::Rng;
use widecast_protocol::{Code, Origin};

use super::claims::Proof;
use super::grant::Grant;
use super::key_files::{KeyFileErrors, KeyFiles, key_files};
use super::key_set::KeySet;
use super::last_credential::LastCredential;
use super::principal::Subject;
use super::proven_tokens::{Keys, ProvenTokens, TokenDigest};
use super::revocations::Revocations;
use super::token::{self, Expectations, TokenError};
use super::token_keys::TokenKey;
use crate::config::{API_KEY_PREFIX, ApiKeySettings, ClaimValue, Config, KeyHash};

/// The length of the random part of a key, in bytes.
const API_KEY_BYTES: usize = 32;

/// Makes a new API key.
pub fn new_api_key() -> String {
    let mut bytes = [0; API_KEY_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("{API_KEY_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// An API key as the broker knows it.
#[derive(Debug)]
pub struct ApiKey {
    hash: KeyHash,
    /// The networks from which the key may be used; if there are none, it may be used from anywhere.
    addresses: Vec<IpNet>,
    /// Its name as the origin of messages.
    pub(super) origin: Origin,
    /// What its owner may do.
    pub(super) grant: Grant,
    /// Whether its owner may ask what concerns all channels.
    pub(super) is_operator: bool,
}

impl ApiKey {
    fn of(settings: &ApiKeySettings) -> Self {
        Self {
            hash: settings.hash,
            addresses: settings.addresses.clone(),
            origin: Origin::verified(settings.name.as_str()),
            grant: Grant::new(settings.allow.0.clone()),
            is_operator: settings.operator.is_on(),
        }
    }

    #[cfg(test)]
    pub(super) fn of_test(name: &str, grant: Grant) -> Self {
        Self {
            hash: KeyHash::of(name),
            addresses: Vec::new(),
            origin: Origin::verified(name),
            grant,
            is_operator: false,
        }
    }

    /// Whether the key may be used from `address`. If the address is unknown, only a key that may be used from anywhere may be
    /// used.
    fn is_for(&self, address: Option<IpAddr>) -> bool {
        let address = address.map(|address| address.to_canonical());
        let is_within = |address| self.addresses.iter().any(|net| net.contains(&address));
        self.addresses.is_empty() || address.is_some_and(is_within)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.origin.as_str()
    }
}

/// Why a credential proves nothing. No text has any of the credential in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Nothing is configured that it could prove.
    #[error("this broker has no authentication configured: connect without a token")]
    NotConfigured,
    /// No such API key is configured.
    #[error("the API key is not one of this broker's")]
    UnknownApiKey,
    /// The API key is for other addresses.
    #[error(
        "the API key {name} may not be used from the address {address} (auth.api_key.addresses)"
    )]
    ForeignAddress {
        /// Its name.
        name: String,
        /// From where it was used.
        address: String,
    },
    /// No key for tokens is configured.
    #[error("this broker takes API keys only: no key for tokens is configured (auth.jwt)")]
    NoTokens,
    /// A JWK set that may have the right key has not been fetched yet.
    #[error(
        "the keys that tokens are checked with could not be fetched from their provider yet (auth.jwt.jwks_urls): try again later"
    )]
    KeysMissing,
    /// No JWK set has the key, and one was fetched so recently that it must not be fetched again yet.
    #[error(
        "the token names a key that its provider did not have a moment ago, and that may be new, or its keys could not be fetched: they are fetched again after auth.jwt.jwks_least_age_ms"
    )]
    KeyMayBeNew,
    /// The token was taken back before its end.
    #[error("the token was revoked: log in anew")]
    Revoked,
    /// The token proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl CredentialError {
    /// The code that the client is told: `unauthorized`, or `authorization_unavailable` while the key may still be fetched.
    pub fn code(&self) -> Code {
        match self {
            Self::KeysMissing | Self::KeyMayBeNew => Code::AuthorizationUnavailable,
            _ => Code::Unauthorized,
        }
    }
}

/// A credential that somebody shows.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The API key or token.
    pub credential: &'a str,
    /// From where, if that is known.
    pub address: Option<IpAddr>,
    /// What was shown on the same connection before, if it came with a request.
    pub last: Option<&'a LastCredential>,
}

/// Finds out what credentials prove.
pub struct Authenticator {
    is_configured: bool,
    api_keys: Vec<Arc<ApiKey>>,
    takes_tokens: bool,
    expected: Expectations,
    revocations: Revocations,
    key_files: KeyFiles,
    key_sets: Vec<Arc<KeySet>>,
    proven: ProvenTokens,
}

impl Authenticator {
    /// Reads the keys that the settings name.
    ///
    /// # Errors
    /// When files with keys cannot be used: what is wrong with each.
    pub fn new(config: &Config) -> Result<Self, KeyFileErrors> {
        let jwt = &config.jwt;
        let texts =
            |values: &[ClaimValue]| values.iter().map(|it| it.as_str().to_owned()).collect();
        Ok(Self {
            is_configured: config.has_authentication(),
            api_keys: config
                .api_keys
                .iter()
                .map(|key| Arc::new(ApiKey::of(key)))
                .collect(),
            expected: Expectations {
                issuers: texts(&jwt.issuers),
                audiences: texts(&jwt.audiences),
                leeway: jwt.leeway,
                max_lifetime: jwt.max_lifetime,
                max_subscriptions: config.limits.channels_per_session,
            },
            revocations: Revocations::new(config.auth.max_revocations),
            takes_tokens: jwt.is_configured(),
            proven: ProvenTokens::default(),
            key_files: key_files(jwt)?,
            key_sets: jwt
                .jwks_urls
                .iter()
                .map(|url| Arc::new(KeySet::new(url, jwt)))
                .collect(),
        })
    }

    /// The subject of a client without credentials.
    pub fn without_credential(&self) -> Subject {
        if self.is_configured {
            Subject::Anonymous
        } else {
            Subject::Anybody
        }
    }

    /// The JWK sets that are to be fetched.
    pub fn key_sets(&self) -> &[Arc<KeySet>] {
        &self.key_sets
    }

    /// The subject that this credential proves when it is used from this address. If it is a token with an unknown key, the JWK
    /// sets are fetched first: its provider may have changed them.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub async fn prove(&self, shown: Shown<'_>) -> Result<Subject, CredentialError> {
        match self.check(shown) {
            Err(CredentialError::KeysMissing | CredentialError::Token(TokenError::NoKey(_)))
                if !self.key_sets.is_empty() =>
            {
                let refreshed = join_all(self.key_sets.iter().map(|set| set.refreshed())).await;
                let may_be_new = refreshed.contains(&false);
                self.check(shown).map_err(|error| match error {
                    CredentialError::Token(TokenError::NoKey(_)) if may_be_new => {
                        CredentialError::KeyMayBeNew
                    }
                    error => error,
                })
            }
            outcome => outcome,
        }
    }

    /// The subject that this credential proves when it is used from this address, by the keys that have been fetched so far.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn check(&self, shown: Shown<'_>) -> Result<Subject, CredentialError> {
        if !self.is_configured {
            return Err(CredentialError::NotConfigured);
        }
        if shown.credential.starts_with(API_KEY_PREFIX) {
            let key = self.api_key(shown)?;
            if !key.is_for(shown.address) {
                let address = shown.address.map(|address| address.to_string());
                return Err(CredentialError::ForeignAddress {
                    name: key.name().to_owned(),
                    address: address.unwrap_or_else(|| "unknown".to_owned()),
                });
            }
            return Ok(Subject::ApiKey(key));
        }
        if !self.takes_tokens {
            return Err(CredentialError::NoTokens);
        }
        let now = SystemTime::now();
        let proof = self.proof(shown, now)?;
        self.recheck_at(&proof, now)?;
        Ok(Subject::User(proof))
    }

    /// The API key that this is, wherever it may be used from.
    fn api_key(&self, shown: Shown<'_>) -> Result<Arc<ApiKey>, CredentialError> {
        let Shown {
            credential, last, ..
        } = shown;
        if let Some(key) = last.and_then(|last| last.api_key(credential)) {
            return Ok(key);
        }
        let hash = KeyHash::of(credential);
        let mut known = self.api_keys.iter();
        let key = known.find(|key| key.hash == hash);
        let key = key.ok_or(CredentialError::UnknownApiKey)?;
        if let Some(last) = last {
            last.keep_api_key(credential, key);
        }
        Ok(Arc::clone(key))
    }

    /// What a token proves, by its signature and by what it says of itself. If it was checked before, it may have ended since, and any
    /// may be revoked.
    fn proof(&self, shown: Shown<'_>, now: SystemTime) -> Result<Arc<Proof>, CredentialError> {
        let Shown {
            credential, last, ..
        } = shown;
        if let Some(proof) = last.and_then(|last| last.proof(credential, self.token_keys(now))) {
            return Ok(proof);
        }
        let keys: Keys = self.token_keys(now).collect();
        // The files are always there, and a set is when it has been fetched once.
        let are_all_there = keys.len() == self.key_sets.len() + 1;
        let proof = self
            .checked(credential, &keys)
            .map_err(|error| match error {
                // The key that it was signed with may be among those that have not come.
                TokenError::NoKey(_) | TokenError::BadSignature if !are_all_there => {
                    CredentialError::KeysMissing
                }
                error => error.into(),
            })?;
        if let Some(last) = last {
            last.keep_proof(credential, &keys, &proof);
        }
        Ok(proof)
    }

    fn checked(&self, token: &str, keys: &Keys) -> Result<Arc<Proof>, TokenError> {
        let digest = TokenDigest::of(token);
        if let Some(proof) = digest.and_then(|digest| self.proven.find(&digest, keys)) {
            return Ok(proof);
        }
        let proof = Arc::new(token::check(token, keys, &self.expected)?);
        if let Some(digest) = digest {
            self.proven.keep(digest, keys, &proof);
        }
        Ok(proof)
    }

    /// The keys that tokens are checked with now: those in files, and those of each set that has been fetched.
    fn token_keys(&self, now: SystemTime) -> impl Iterator<Item = Arc<Vec<TokenKey>>> {
        let fetched = self.key_sets.iter().filter_map(|set| set.keys());
        iter::once_with(move || self.key_files.get(now)).chain(fetched)
    }

    /// Makes sure that a token that was checked some time ago is still valid: it may have ended, or been revoked since.
    ///
    /// # Errors
    /// Why it counts no longer.
    pub fn recheck(&self, proof: &Proof) -> Result<(), CredentialError> {
        self.recheck_at(proof, SystemTime::now())
    }

    fn recheck_at(&self, proof: &Proof, now: SystemTime) -> Result<(), CredentialError> {
        if proof.expires_at <= now {
            return Err(TokenError::Expired.into());
        }
        if self.revocations.refuses(proof) {
            return Err(CredentialError::Revoked);
        }
        Ok(())
    }

    /// The tokens that were revoked before their end.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The time at which every token issued so far has expired; `None` if the settings do not bound the lifetime of tokens.
    pub fn end_of_all_tokens(&self) -> Option<SystemTime> {
        let Expectations {
            leeway,
            max_lifetime,
            ..
        } = self.expected;
        (!max_lifetime.is_zero()).then(|| SystemTime::now() + max_lifetime + leeway)
    }
}
