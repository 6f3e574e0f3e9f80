//! The keys that tokens are checked with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

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

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The length of an uncompressed point on P-256 and on P-384.
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;

impl TokenKey {
    /// A secret that is shared with whoever makes the tokens. White space around it is no part of it.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub(super) fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        let secret = secret.trim_ascii();
        let algorithms: Vec<_> = [
            (32, Algorithm::HS256),
            (48, Algorithm::HS384),
            (64, Algorithm::HS512),
        ]
        .into_iter()
        .filter(|(least, _)| secret.len() >= *least)
        .map(|(_, algorithm)| algorithm)
        .collect();
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
    /// has no use for are passed over: keys of unknown algorithms, keys for encryption, and secrets, which have no place in a
    /// set of public keys.
    ///
    /// # Errors
    /// When it is no set, or no key of it can check a token.
    pub(super) fn set(json: &[u8]) -> Result<Vec<Self>, KeyError> {
        let set: JwkSet = serde_json::from_slice(json).map_err(KeyError::NoSet)?;
        let keys: Vec<_> = set.keys.iter().filter_map(Self::of_set).collect();
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
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}
