//! What a token says ([RFC 7519, section 4](https://www.rfc-editor.org/rfc/rfc7519#section-4)).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;
use widecast_protocol::{ChannelName, Payload};

use super::grant::Grant;
use super::token::Expectations;
use crate::config::{ChannelPattern, PatternError, Rights};

/// How many bytes the name of a user, or of a token, may have.
pub(super) const MAX_NAME_BYTES: usize = 255;

fn is_name(bytes: usize) -> bool {
    (1..=MAX_NAME_BYTES).contains(&bytes)
}

/// Whether a text can be the name of a user: 1 to 255 bytes.
pub fn is_user(text: &str) -> bool {
    is_name(text.len())
}

/// The claims of a token that the broker reads or writes. `nbf`, `iss` and `aud` are checked together with the signature, in
/// `token.rs`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// When the token ends, in seconds since 1970-01-01 UTC. A token without it is refused in words of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<Number>,
    /// When it was issued, in seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<Number>,
    /// Who has issued the token. Whether it is the right one is checked with the signature.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// For whom it was issued; checked with the signature, too.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// The name of the token itself, by which it can be revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Patterns of channels, and the rights on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, Words>,
    /// What others are shown of the user, where a session is listed as a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<RawValue>>,
    /// Channels that sessions join without asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe_to: Option<Words>,
}

/// One word, or a list of words: JSON allows both for rights and for names of channels.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// A channel in whose name `{sub}` is the user.
fn channel_of(name: &str, user: Option<&str>) -> Result<ChannelName, String> {
    let refused = |reason: String| format!("subscribe_to has {name:?}: {reason}");
    let full = match user {
        Some(user) => name.replace(ChannelPattern::USER, user),
        None if name.contains(ChannelPattern::USER) => {
            return Err(refused(PatternError::NoUser.to_string()));
        }
        None => name.to_owned(),
    };
    ChannelName::parse(&full).map_err(|error| refused(error.to_string()))
}

impl Words {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words,
        }
    }

    pub(super) fn rights(&self) -> Option<Rights> {
        match self {
            Self::One(word) => Rights::read([word.as_str()]),
            Self::Several(words) => Rights::read(words.iter().map(String::as_str)),
        }
    }
}

/// What a token proves.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// The user, if the token names one.
    pub user: Option<Arc<str>>,
    /// The name of the token (`jti`), by which it can be revoked.
    pub name: Option<Arc<str>>,
    /// What others are shown of the user, in place of what a session says of itself.
    pub info: Option<Payload>,
    /// When the token was issued, if it says so.
    pub issued_at: Option<SystemTime>,
    /// When the token ends, for a clock that may differ from the issuer's.
    pub expires_at: SystemTime,
    /// What its owner may do.
    pub grant: Grant,
}

#[cfg(test)]
impl Proof {
    /// One that nobody looks into.
    pub(super) fn of_test() -> Arc<Self> {
        Arc::new(Self {
            user: None,
            name: None,
            info: None,
            issued_at: None,
            expires_at: SystemTime::UNIX_EPOCH,
            grant: Grant::default(),
        })
    }
}

impl Claims {
    /// Reads what the token proves.
    ///
    /// # Errors
    /// What is wrong with a claim, in words that complete "the token's claim …".
    pub(super) fn proof(self, expected: &Expectations) -> Result<Proof, String> {
        for (claim, name) in [("sub", &self.sub), ("jti", &self.jti)] {
            if name.as_ref().is_some_and(|name| !is_name(name.len())) {
                return Err(format!("{claim} has to have 1 to {MAX_NAME_BYTES} bytes"));
            }
        }
        let info = self.info.as_deref().map(|info| info.get().to_owned());
        let info = info.map(Payload::from_json).transpose();
        let issued_at = self.issued_at()?;
        let ends = self.ends().ok_or("exp is no time")?;
        expected.check_lifetime(issued_at, ends)?;
        let expires_at = ends.checked_add(expected.leeway);
        Ok(Proof {
            expires_at: expires_at.ok_or("exp is no time")?,
            info: info.map_err(|error| format!("info cannot be read: {error}"))?,
            issued_at,
            grant: self.grant(expected)?,
            user: self.sub.map(Arc::from),
            name: self.jti.map(Arc::from),
        })
    }

    fn grant(&self, expected: &Expectations) -> Result<Grant, String> {
        let user = self.sub.as_deref();
        let grant = Grant::read(&self.channels, user)?;
        let names = self.subscribe_to.as_ref().map_or(&[][..], Words::as_slice);
        let most = expected.max_subscriptions;
        if names.len() > most {
            let actual = names.len();
            return Err(format!(
                "subscribe_to has {actual} channels, limits.channels_per_session allows {most}"
            ));
        }
        let channels: Result<_, String> = names.iter().map(|name| channel_of(name, user)).collect();
        Ok(grant.subscribing(channels?))
    }

    fn issued_at(&self) -> Result<Option<SystemTime>, String> {
        let issued = self.iat.as_ref().map(|iat| {
            let seconds = iat
                .as_f64()
                .and_then(|iat| Duration::try_from_secs_f64(iat).ok());
            seconds.and_then(|seconds| UNIX_EPOCH.checked_add(seconds))
        });
        match issued {
            None => Ok(None),
            Some(None) => Err("iat is no time".to_owned()),
            Some(issued) => Ok(issued),
        }
    }

    fn ends(&self) -> Option<SystemTime> {
        let seconds = self.exp.as_ref()?.as_f64().map(f64::floor)?;
        UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}
