//! The keys of an identity provider, and the tokens that it signs.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey as _};
use serde_json::{Value, json};

/// A key of an identity provider: Ed25519, whose signatures are the same in tokens and certificates.
#[derive(Debug)]
pub struct ProviderKey {
    id: String,
    pair: KeyPair,
}

impl ProviderKey {
    /// A new key of this name.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(id: &str) -> Result<Self> {
        Ok(Self {
            id: id.to_owned(),
            pair: KeyPair::generate_for(&PKCS_ED25519)?,
        })
    }

    /// The set in which its provider shows these keys.
    pub fn set(keys: &[&Self]) -> String {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        json!({ "keys": keys }).to_string()
    }

    fn jwk(&self) -> Value {
        let x = encoded(self.pair.der_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id, "x": x })
    }

    /// A token with these rights that is valid for ten minutes.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, user: &str, channels: &Value) -> Result<String> {
        self.signed(json!({ "sub": user, "channels": channels }))
    }

    /// A token with these claims, and one more: it is valid for ten minutes.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn signed(&self, mut claims: Value) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        claims["exp"] = (now.as_secs() + 600).into();
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.id });
        let signed = format!(
            "{}.{}",
            encoded(header.to_string().as_bytes()),
            encoded(claims.to_string().as_bytes())
        );
        let signature = self.pair.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", encoded(&signature)))
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
