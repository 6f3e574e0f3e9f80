//! The keys that tokens are checked with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

/// One key, with its name and the algorithms that it may be used for.
pub(super) struct TokenKey {
    /// The name by which a token asks for it (`kid`), if it has one.
    pub(super) id: Option<String>,
    /// The algorithms that go with it. A key is never used for another: a public key is no secret.
    pub(super) algorithms: Vec<Algorithm>,
    /// The key itself.
    pub(super) key: DecodingKey,
}

/// Why something is no key for tokens.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A secret has fewer bytes than the shortest digest
    /// ([RFC 7518, section 3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
    #[error(
        "the secret has {0} bytes, at least 32 are needed: make one with `openssl rand -base64 48`"
    )]
    ShortSecret(usize),
    /// The modulus of an RSA key has fewer than 2048 bits
    /// ([RFC 7518, section 3.3](https://www.rfc-editor.org/rfc/rfc7518#section-3.3)).
    #[error(
        "the RSA key has fewer than 2048 bits: make one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`"
    )]
    ShortRsa,
    /// It is no public key in PEM.
    #[error("expected a public key in PEM: RSA, ECDSA (P-256 or P-384) or Ed25519")]
    NoPublicKey,
    /// It is no set of keys.
    #[error("expected a JWK set, such as {{\"keys\":[…]}}: {0}")]
    NoSet(serde_json::Error),
    /// None of the keys of a set can check a token.
    #[error("the JWK set has no public key of an algorithm that the broker knows")]
    EmptySet,
}

/// A JWK set, whose keys are read one by one: one that cannot be read does not keep the others from being used.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The length in bytes of the shortest modulus that may be used.
const RSA_MODULUS: usize = 2048 / 8;

/// The length of an uncompressed point on P-256 and on P-384.
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;

/// How many bytes a secret has at least for each algorithm.
const SECRETS: [(usize, Algorithm); 3] = [
    (32, Algorithm::HS256),
    (48, Algorithm::HS384),
    (64, Algorithm::HS512),
];

/// How many bytes a secret has at least for this algorithm, if it is one with a secret.
pub(super) fn least_secret_bytes(algorithm: Algorithm) -> Option<usize> {
    let mut secrets = SECRETS.iter().filter(|(_, known)| *known == algorithm);
    secrets.next().map(|(least, _)| *least)
}

impl TokenKey {
    /// Whether it is a secret.
    pub(super) fn is_secret(&self) -> bool {
        self.key.family() == AlgorithmFamily::Hmac
    }

    /// A secret that is shared with whoever makes the tokens. White space around it is no part of it.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub(super) fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        let secret = secret.trim_ascii();
        let algorithms = SECRETS.iter().filter(|(least, _)| secret.len() >= *least);
        let algorithms: Vec<_> = algorithms.map(|(_, algorithm)| *algorithm).collect();
        let short = KeyError::ShortSecret(secret.len());
        if algorithms.is_empty() {
            return Err(short);
        }
        let key = DecodingKey::from_secret(secret).map_err(|_| short)?;
        Ok(Self {
            id: None,
            algorithms,
            key,
        })
    }

    /// A public key in PEM.
    ///
    /// # Errors
    /// When the text is not such a key.
    pub(super) fn pem(pem: &[u8]) -> Result<Self, KeyError> {
        let (algorithms, key) = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            if is_short_rsa(&key) {
                return Err(KeyError::ShortRsa);
            }
            (RSA.to_vec(), key)
        } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
            let algorithm = match length {
                P256_POINT => Algorithm::ES256,
                P384_POINT => Algorithm::ES384,
                _ => return Err(KeyError::NoPublicKey),
            };
            (vec![algorithm], key)
        } else {
            let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::NoPublicKey)?;
            (vec![Algorithm::EdDSA], key)
        };
        Ok(Self {
            id: None,
            algorithms,
            key,
        })
    }

    /// The keys of a JWK set ([RFC 7517, section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)). Those that the broker
    /// has no use for are passed over: keys of unknown algorithms, keys that are too short, keys for encryption, and secrets, which
    /// have no place in a set of public keys.
    ///
    /// # Errors
    /// When it is no set, or no key of it can check a token.
    pub(super) fn set(json: &[u8]) -> Result<Vec<Self>, KeyError> {
        let set: Set = serde_json::from_slice(json).map_err(KeyError::NoSet)?;
        let read = |key| serde_json::from_value(key).ok();
        let keys = set.keys.into_iter().filter_map(read);
        let keys: Vec<_> = keys.filter_map(|key| Self::of_set(&key)).collect();
        if keys.is_empty() {
            return Err(KeyError::EmptySet);
        }
        Ok(keys)
    }

    fn of_set(jwk: &Jwk) -> Option<Self> {
        let signs = jwk.common.public_key_use.as_ref();
        if !signs.is_none_or(|signs| *signs == PublicKeyUse::Signature) {
            return None;
        }
        let possible = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA.to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        // If the set names the key's algorithm, only that one is allowed.
        let algorithms = match jwk.common.key_algorithm {
            None => possible,
            Some(named) => {
                let named: Algorithm = named.to_string().parse().ok()?;
                possible.into_iter().filter(|it| *it == named).collect()
            }
        };
        if algorithms.is_empty() {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        if is_short_rsa(&key) {
            return None;
        }
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithms,
            key,
        })
    }
}

/// Whether it is an RSA key that is too short to be used.
fn is_short_rsa(key: &DecodingKey) -> bool {
    let modulus = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
        // In DER the modulus is all but a few of the bytes.
        DecodingKeyKind::SecretOrDer(der) if key.family() == AlgorithmFamily::Rsa => der.len(),
        DecodingKeyKind::SecretOrDer(_) => return false,
    };
    modulus < RSA_MODULUS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A modulus of so many bytes, as a JWK set has it.
    fn modulus(bytes: usize) -> String {
        use base64::Engine as _;
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(vec![0xff; bytes])
    }

    fn ids(keys: &Value) -> Vec<String> {
        let set = json!({ "keys": keys }).to_string();
        let keys = TokenKey::set(set.as_bytes()).unwrap();
        keys.into_iter().filter_map(|key| key.id).collect()
    }

    #[test]
    fn keys_that_cannot_be_used_do_not_keep_others_of_their_set_from_being() {
        let long = modulus(RSA_MODULUS);
        let good = json!({ "kid": "good", "kty": "RSA", "n": long, "e": "AQAB" });
        for other in [
            json!({ "kid": "of a later standard", "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" }),
            json!({ "kid": "on another curve", "kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA" }),
            json!({ "kid": "not whole", "kty": "RSA" }),
            json!({ "kid": "no base64", "kty": "RSA", "n": "!", "e": "AQAB" }),
            json!({ "kid": "too short", "kty": "RSA", "n": modulus(RSA_MODULUS - 1), "e": "AQAB" }),
            json!({ "kid": "for encryption", "kty": "RSA", "use": "enc", "n": long, "e": "AQAB" }),
            json!({ "kid": 7, "kty": "RSA", "use": true, "n": long, "e": "AQAB" }),
            json!({ "kid": "a secret", "kty": "oct", "k": long }),
            json!("no key"),
        ] {
            assert_eq!(ids(&json!([other, good])), ["good"], "{other}");
            let set = json!({ "keys": [other] }).to_string();
            let alone = TokenKey::set(set.as_bytes());
            assert!(matches!(alone, Err(KeyError::EmptySet)), "{set}");
        }
    }

    #[test]
    fn a_short_rsa_key_is_told_when_it_is_read() {
        // Made with `openssl genrsa 1024 | openssl rsa -pubout`.
        let short = b"-----BEGIN PUBLIC KEY-----\n\
            MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCs3Q08RmQ+D0VA/S6PJp12ZXSR\n\
            gVwXtAUiRj0w1yl/KcToj9YEXFyA/rgAbgrxpM+WDAOmWAISd18wVw9AiSKJsEEd\n\
            KrogPZcqvBUek51VukRvZvMEfCddc8ik8bVPVh/B/RXBT0oBQwPSusi9qBQrN0Xv\n\
            rtRWI1qzhohLYKovewIDAQAB\n\
            -----END PUBLIC KEY-----\n";
        assert!(matches!(TokenKey::pem(short), Err(KeyError::ShortRsa)));
    }
}
