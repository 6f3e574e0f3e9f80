//! The cryptography of tokens: `jsonwebtoken` leaves it to a provider, and `ring` is in the binary for TLS already.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::signature as asymmetric;
use signature::{Signer, Verifier};

/// Checks signatures of every algorithm that `jsonwebtoken` knows, and makes those with a secret.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // These would turn private keys into public ones, which the broker never does.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this the cryptography of all tokens. To be called before the first one is read or made.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Another provider of the same process would do as well.
        let _ = PROVIDER.install_default();
    });
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that `CryptoProvider` asks for"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let (algorithm, key) = (*algorithm, key.clone());
    Ok(Box::new(Check { algorithm, key }))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that `CryptoProvider` asks for"
)]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let digest = digest(*algorithm).ok_or(ErrorKind::InvalidAlgorithm)?;
    Ok(Box::new(Secret {
        algorithm: *algorithm,
        key: hmac::Key::new(digest, key.as_bytes()),
    }))
}

/// The keyed digest of an algorithm with a secret.
fn digest(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

/// The name in `ring` of an algorithm with an RSA key.
fn rsa(algorithm: Algorithm) -> Option<&'static asymmetric::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&asymmetric::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&asymmetric::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&asymmetric::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&asymmetric::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&asymmetric::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&asymmetric::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// How `ring` calls an algorithm with a public key in one piece.
fn public(algorithm: Algorithm) -> Option<&'static dyn asymmetric::VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&asymmetric::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&asymmetric::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&asymmetric::ED25519),
        _ => rsa(algorithm).map(|rsa| rsa as &dyn asymmetric::VerificationAlgorithm),
    }
}

struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Check {
    fn is_signed(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let key = asymmetric::RsaPublicKeyComponents { n, e };
                let checked = key.verify(rsa(self.algorithm)?, message, signature);
                Some(checked.is_ok())
            }
            DecodingKeyKind::SecretOrDer(bytes) => {
                if let Some(digest) = digest(self.algorithm) {
                    let key = hmac::Key::new(digest, bytes);
                    return Some(hmac::verify(&key, message, signature).is_ok());
                }
                let key = asymmetric::UnparsedPublicKey::new(public(self.algorithm)?, bytes);
                Some(key.verify(message, signature).is_ok())
            }
        }
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        let is_signed = self.is_signed(message, signature).unwrap_or(false);
        is_signed.then_some(()).ok_or_else(signature::Error::new)
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

struct Secret {
    algorithm: Algorithm,
    key: hmac::Key,
}

impl Signer<Vec<u8>> for Secret {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }
}

impl JwtSigner for Secret {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
