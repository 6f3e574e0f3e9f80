//! Tokens: JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) that somebody else has signed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};

use super::claims::{Claims, Proof};
use super::signature;
use super::token_keys::{KeyError, TokenKey, least_secret_bytes};

/// The longest token, in bytes: it travels in the head of a request.
const MAX_TOKEN_BYTES: usize = 8192;

/// Why a token proves nothing. No text has any of the token in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too long.
    #[error("the token has more than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// The text is not a token.
    #[error("the token is no JSON Web Token in its compact form")]
    Malformed,
    /// It is not signed, or by an algorithm that the broker does not know.
    #[error(
        "the token is not signed by an algorithm that the broker takes (HS, RS, PS, ES 256 and 384, EdDSA)"
    )]
    UnknownAlgorithm,
    /// It has extensions that whoever does not know them has to refuse
    /// ([RFC 7515, section 4.1.11](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11)).
    #[error("the token has extensions that the broker does not know (crit)")]
    Critical,
    /// There is no key for its algorithm. A key is for its own algorithms only, whatever a token says of itself.
    #[error("no configured key is for the token's algorithm {0}")]
    NoKey(String),
    /// There are keys for its algorithm, but none by the name that it gives (`kid`).
    #[error("no configured key for {0} has the name that the token gives (kid)")]
    UnknownKey(String),
    /// The secret is too short for its algorithm
    /// ([RFC 7518, section 3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
    #[error(
        "the secret is too short for the token's algorithm {algorithm}, which needs {least} bytes: sign with HS256, or take a longer secret"
    )]
    ShortSecret {
        /// The algorithm.
        algorithm: String,
        /// How many bytes a secret for it has at least.
        least: usize,
    },
    /// It was signed with another key, or changed.
    #[error("the token's signature is not by a configured key")]
    BadSignature,
    /// It has expired (`exp`).
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet (`nbf`).
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    /// It was issued by somebody else.
    #[error("the token's issuer (iss) is not the configured one")]
    WrongIssuer,
    /// It is meant for somebody else.
    #[error("the token's audience (aud) is not the configured one")]
    WrongAudience,
    /// It lacks a claim.
    #[error("the token lacks the claim {0}")]
    Missing(String),
    /// A claim is not as it has to be.
    #[error("the token's claim {0}")]
    BadClaim(String),
}

impl TokenError {
    /// Whether another key may be all that the token needs.
    pub(super) const fn asks_for_key(&self) -> bool {
        matches!(self, Self::NoKey(_) | Self::UnknownKey(_))
    }
}

/// What a token has to say of itself, beside being signed.
#[derive(Debug, Clone, Default)]
pub(super) struct Expectations {
    /// The issuers of which one has to be named, if there is any.
    pub(super) issuers: Vec<String>,
    /// The audiences of which one has to be named, if there is any.
    pub(super) audiences: Vec<String>,
    /// By how much the clocks of issuer and broker may differ.
    pub(super) leeway: Duration,
    /// For how long a token may be valid from when it was issued; 0 for any time.
    pub(super) max_lifetime: Duration,
    /// How many channels one token may have sessions join.
    pub(super) max_subscriptions: usize,
}

impl Expectations {
    /// Makes sure that a token does not live for longer than it may, and was issued before now.
    ///
    /// # Errors
    /// What is wrong with a claim, in words that complete "the token's claim …".
    pub(super) fn check_lifetime(
        &self,
        issued_at: Option<SystemTime>,
        ends: SystemTime,
    ) -> Result<(), String> {
        // Such a token could outlive its revocation and the longest lifetime.
        if issued_at.is_some_and(|issued_at| issued_at > SystemTime::now() + self.leeway) {
            return Err("iat is in the future".to_owned());
        }
        let most = self.max_lifetime.as_millis();
        if most == 0 {
            return Ok(());
        }
        let issued_at = issued_at.ok_or_else(|| {
            format!("iat is missing: auth.jwt.max_lifetime_ms asks when the token was issued, and allows {most} ms from then")
        })?;
        let lifetime = ends.duration_since(issued_at).unwrap_or_default();
        if lifetime > self.max_lifetime {
            let actual = lifetime.as_millis();
            return Err(format!(
                "exp is {actual} ms after iat, auth.jwt.max_lifetime_ms allows {most}"
            ));
        }
        Ok(())
    }
}

/// Checks a token.
///
/// # Errors
/// Why it proves nothing.
pub(super) fn check(
    token: &str,
    keys: &[Arc<Vec<TokenKey>>],
    expected: &Expectations,
) -> Result<Proof, TokenError> {
    signature::install();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let header = decode_header(token).map_err(|error| of_header(token, &error))?;
    let mut failed = no_key(header.alg, keys);
    for key in fitting(&header, keys) {
        match decode::<Claims>(token, &key.key, &validation(header.alg, expected)) {
            Ok(found) => {
                return found.claims.proof(expected).map_err(TokenError::BadClaim);
            }
            Err(error) if header.crit.is_some() && is_invalid(&error) => {
                failed = TokenError::Critical;
            }
            Err(error) => failed = of_error(&error),
        }
        if failed != TokenError::BadSignature {
            break;
        }
    }
    Err(failed)
}

/// The keys that a token may be signed with.
fn fitting<'a>(
    header: &'a Header,
    keys: &'a [Arc<Vec<TokenKey>>],
) -> impl Iterator<Item = &'a TokenKey> {
    let keys = keys.iter().flat_map(|keys| keys.iter());
    keys.filter(|key| {
        let is_named = match (&key.id, &header.kid) {
            (Some(id), Some(named)) => id == named,
            _ => true,
        };
        is_named && key.algorithms.contains(&header.alg)
    })
}

/// Why a token is refused that none of the keys fits.
fn no_key(algorithm: Algorithm, keys: &[Arc<Vec<TokenKey>>]) -> TokenError {
    let mut keys = keys.iter().flat_map(|keys| keys.iter());
    let name = format!("{algorithm:?}");
    if keys.clone().any(|key| key.algorithms.contains(&algorithm)) {
        return TokenError::UnknownKey(name);
    }
    match least_secret_bytes(algorithm) {
        Some(least) if keys.any(TokenKey::is_secret) => TokenError::ShortSecret {
            algorithm: name,
            least,
        },
        _ => TokenError::NoKey(name),
    }
}

/// Why a token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The secret cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No broker would take it.
    #[error("no broker would take the token: {0}")]
    Claims(#[from] TokenError),
}

/// Makes a token, signed with a secret by HS256.
///
/// # Errors
/// When the secret is too short, or no broker would take the token. That it is over already is no error.
pub fn sign(secret: &[u8], claims: &Claims) -> Result<String, SignError> {
    signature::install();
    // The broker would not take a shorter one either.
    let checked_with = Arc::new(vec![TokenKey::secret(secret)?]);
    let short = |_| KeyError::ShortSecret(secret.len());
    let key = EncodingKey::from_secret(secret.trim_ascii()).map_err(short)?;
    let token = encode(&Header::new(Algorithm::HS256), claims, &key).map_err(short)?;
    let expected = Expectations {
        leeway: Duration::from_hours(1),
        max_subscriptions: usize::MAX,
        ..Expectations::default()
    };
    check(&token, &[checked_with], &expected)?;
    Ok(token)
}

/// What a token says, whether it is true or not.
///
/// # Errors
/// When it is no token.
pub fn read_unchecked(token: &str) -> Result<serde_json::Value, TokenError> {
    let claims = insecure_decode_claims(token);
    claims.map_err(|_| TokenError::Malformed)
}

fn validation(algorithm: Algorithm, expected: &Expectations) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = expected.leeway.as_secs();
    validation.validate_nbf = true;
    // RFC 7519, section 4.1.4: not on its end either.
    validation.reject_tokens_expiring_in_less_than = 1;
    let mut required = vec!["exp"];
    if expected.issuers.is_empty() {
        validation.iss = None;
    } else {
        validation.set_issuer(&expected.issuers);
        required.push("iss");
    }
    if expected.audiences.is_empty() {
        // RFC 7519, section 4.1.3, has a token refused that names an audience to whom nobody is told to belong; but few
        // issuers let one leave it out.
        validation.validate_aud = false;
    } else {
        validation.set_audience(&expected.audiences);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

/// Why the header cannot be read: a text of three parts has an unknown algorithm, any other text is no token.
fn of_header(token: &str, error: &Error) -> TokenError {
    let is_compact = token.split('.').count() == 3;
    match error.kind() {
        ErrorKind::Json(_) | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName
            if is_compact =>
        {
            TokenError::UnknownAlgorithm
        }
        _ => TokenError::Malformed,
    }
}

/// Whether a token is refused before its signature is looked at.
fn is_invalid(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidToken)
}

fn of_error(error: &Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::BadSignature,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::InvalidIssuer => TokenError::WrongIssuer,
        ErrorKind::InvalidAudience => TokenError::WrongAudience,
        ErrorKind::MissingRequiredClaim(claim) => TokenError::Missing(claim.clone()),
        ErrorKind::InvalidClaimFormat(claim) => {
            TokenError::BadClaim(format!("{claim} has not the right type"))
        }
        ErrorKind::Json(error) => TokenError::BadClaim(format!("cannot be read: {error}")),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            TokenError::UnknownAlgorithm
        }
        _ => TokenError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};
    use std::time::{SystemTime, UNIX_EPOCH};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn now() -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap().as_secs()
    }

    fn signed_with(secret: &[u8], algorithm: Algorithm, claims: &Value) -> String {
        signature::install();
        let key = EncodingKey::from_secret(secret).unwrap();
        encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    fn signed(claims: &Value) -> String {
        signed_with(SECRET, Algorithm::HS256, claims)
    }

    fn keys() -> [Arc<Vec<TokenKey>>; 1] {
        known(TokenKey::secret(SECRET).unwrap())
    }

    fn known(key: TokenKey) -> [Arc<Vec<TokenKey>>; 1] {
        [Arc::new(vec![key])]
    }

    fn checked(token: &str) -> Result<Proof, TokenError> {
        check(token, &keys(), &Expectations::default())
    }

    #[test]
    fn a_token_proves_its_user_and_rights() {
        let exp = now() + 60;
        let proof = checked(&signed(&json!({
            "sub": "7", "exp": exp, "channels": {"user:{sub}:*": ["subscribe"], "news": "*"},
        })));
        let proof = proof.unwrap();
        assert_eq!(proof.user.as_deref(), Some("7"));
        let ends = proof.expires_at.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(ends.as_secs(), exp);
        let rights = |name: &str| {
            let channel = widecast_protocol::ChannelName::parse(name).unwrap();
            proof.grant.rights(&channel)
        };
        assert_eq!(
            rights("user:7:inbox"),
            crate::config::Right::Subscribe.into()
        );
        assert_eq!(rights("news"), crate::config::Rights::ALL);
        assert!(rights("user:8:inbox").is_empty());
    }

    #[test]
    fn each_algorithm_of_a_secret_is_taken_and_a_short_secret_is_refused() {
        let claims = json!({"exp": now() + 60});
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert!(checked(&signed_with(SECRET, algorithm, &claims)).is_ok());
        }
        let short = TokenKey::secret(b"  0123456789abcdef0123456789abcde\n");
        assert!(matches!(
            short,
            Err(super::super::token_keys::KeyError::ShortSecret(31))
        ));
        // A secret of 32 bytes is none for a longer digest.
        let keys = known(TokenKey::secret(&SECRET[..32]).unwrap());
        let token = signed_with(&SECRET[..32], Algorithm::HS512, &claims);
        let refused = check(&token, &keys, &Expectations::default());
        insta::assert_snapshot!(refused.unwrap_err(), @"the secret is too short for the token's algorithm HS512, which needs 64 bytes: sign with HS256, or take a longer secret");
    }

    #[test]
    fn a_refusal_says_what_is_wrong_with_the_token() {
        let exp = now() + 60;
        let refusal = |claims: Value| checked(&signed(&claims)).unwrap_err().to_string();
        insta::assert_snapshot!(refusal(json!({"exp": now() - 1})), @"the token has expired");
        insta::assert_snapshot!(refusal(json!({"exp": exp, "nbf": exp})), @"the token is not valid yet (nbf)");
        insta::assert_snapshot!(refusal(json!({"sub": "7"})), @"the token lacks the claim exp");
        insta::assert_snapshot!(refusal(json!({"exp": "soon"})), @r#"the token's claim cannot be read: invalid type: string "soon", expected a JSON number at line 1 column 13"#);
        insta::assert_snapshot!(refusal(json!({"exp": exp, "sub": ""})), @"the token's claim sub has to have 1 to 255 bytes");
        insta::assert_snapshot!(refusal(json!({"exp": exp, "jti": ""})), @"the token's claim jti has to have 1 to 255 bytes");
        insta::assert_snapshot!(refusal(json!({"exp": exp, "iat": -1})), @"the token's claim iat is no time");
        insta::assert_snapshot!(refusal(json!({"exp": exp, "sub": 7})), @"the token's claim cannot be read: invalid type: integer `7`, expected a string at line 1 column 25");
        insta::assert_snapshot!(refusal(json!({"exp": exp, "channels": {"a": ["read"]}})), @r#"the token's claim channels has "a" with other than a list of publish, subscribe, presence and history, or *"#);
        insta::assert_snapshot!(refusal(json!({"exp": exp, "channels": {"a:{sub}": []}})), @r#"the token's claim channels has "a:{sub}": a pattern of channels has {sub}, but there is no user (claim sub) to stand for"#);
        insta::assert_snapshot!(refusal(json!({"exp": exp, "channels": ["a"]})), @"the token's claim cannot be read: invalid type: sequence, expected a map at line 1 column 12");
        insta::assert_snapshot!(refusal(json!({"exp": 1e300})), @"the token lacks the claim exp");
        let shown = |token: &str| checked(token).unwrap_err().to_string();
        insta::assert_snapshot!(shown("secret"), @"the token is no JSON Web Token in its compact form");
        insta::assert_snapshot!(shown("a.b.c"), @"the token is no JSON Web Token in its compact form");
        // {"alg":"none"}
        insta::assert_snapshot!(shown("eyJhbGciOiJub25lIn0.e30."), @"the token is not signed by an algorithm that the broker takes (HS, RS, PS, ES 256 and 384, EdDSA)");
        // {"alg":"HS256","crit":["x"],"x":1}
        insta::assert_snapshot!(shown("eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdLCJ4IjoxfQ.e30.c2ln"), @"the token has extensions that the broker does not know (crit)");
        let other = signed_with(&SECRET.repeat(2), Algorithm::HS256, &json!({"exp": exp}));
        insta::assert_snapshot!(shown(&other), @"the token's signature is not by a configured key");
        insta::assert_snapshot!(shown(&"a".repeat(9000)), @"the token has more than 8192 bytes");
    }

    #[test]
    fn a_token_that_no_key_fits_is_told_whether_it_is_its_algorithm_or_the_name_of_its_key() {
        let claims = json!({"exp": now() + 60});
        let refusal = |header: Header, keys: &[Arc<Vec<TokenKey>>]| {
            signature::install();
            let key = EncodingKey::from_secret(SECRET).unwrap();
            let token = encode(&header, &claims, &key).unwrap();
            check(&token, keys, &Expectations::default()).unwrap_err()
        };
        let named = || Header {
            kid: Some("new".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        // A secret is not asked for its name.
        let key = EncodingKey::from_secret(SECRET).unwrap();
        assert!(checked(&encode(&named(), &claims, &key).unwrap()).is_ok());
        let old = TokenKey {
            id: Some("old".to_owned()),
            ..TokenKey::secret(SECRET).unwrap()
        };
        let unknown = refusal(named(), &known(old));
        assert!(unknown.asks_for_key());
        insta::assert_snapshot!(unknown, @"no configured key for HS256 has the name that the token gives (kid)");
        // Made with {"alg":"RS256"}, and signed with the secret.
        let confused = signed(&claims);
        let (_, rest) = confused.split_once('.').unwrap();
        let confused = checked(&format!("eyJhbGciOiJSUzI1NiJ9.{rest}")).unwrap_err();
        assert!(confused.asks_for_key());
        insta::assert_snapshot!(confused, @"no configured key is for the token's algorithm RS256");
    }

    #[test]
    fn issuer_and_audience_are_asked_for_once_configured() {
        let expected = Expectations {
            issuers: vec!["https://login.example".to_owned()],
            audiences: vec!["widecast".to_owned()],
            ..Expectations::default()
        };
        let outcome = |mut claims: Value| {
            claims["exp"] = json!(now() + 60);
            check(&signed(&claims), &keys(), &expected).map(|_| ())
        };
        let iss = "https://login.example";
        assert_eq!(outcome(json!({"iss": iss, "aud": "widecast"})), Ok(()));
        assert_eq!(
            outcome(json!({"iss": iss, "aud": ["x", "widecast"]})),
            Ok(())
        );
        let wrong = outcome(json!({"iss": iss, "aud": "other"}));
        assert_eq!(wrong, Err(TokenError::WrongAudience));
        let wrong = outcome(json!({"iss": "https://evil.example", "aud": "widecast"}));
        assert_eq!(wrong, Err(TokenError::WrongIssuer));
        assert_eq!(
            outcome(json!({"iss": iss})),
            Err(TokenError::Missing("aud".to_owned()))
        );
    }

    #[test]
    fn a_token_lives_no_longer_than_the_setting_allows() {
        let expected = Expectations {
            max_lifetime: Duration::from_hours(1),
            ..Expectations::default()
        };
        let iat = now() - 60;
        let outcome = |claims: Value| {
            let checked = check(&signed(&claims), &keys(), &expected);
            checked.map_or_else(|error| error.to_string(), |_| "taken".to_owned())
        };
        insta::assert_snapshot!(outcome(json!({"iat": iat, "exp": iat + 3600})), @"taken");
        let later = now() + 1000;
        insta::assert_snapshot!(outcome(json!({"iat": later, "exp": later + 3600})), @"the token's claim iat is in the future");
        insta::assert_snapshot!(outcome(json!({"iat": iat, "exp": iat + 3601})), @"the token's claim exp is 3601000 ms after iat, auth.jwt.max_lifetime_ms allows 3600000");
        insta::assert_snapshot!(outcome(json!({"exp": iat + 120})), @"the token's claim iat is missing: auth.jwt.max_lifetime_ms asks when the token was issued, and allows 3600000 ms from then");
    }

    #[test]
    fn a_public_key_is_never_taken_for_a_secret() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let pem = pair.public_key_pem();
        let keys = known(TokenKey::pem(pem.as_bytes()).unwrap());
        let forged = signed_with(
            pem.as_bytes(),
            Algorithm::HS256,
            &json!({"exp": now() + 60}),
        );
        let refused = check(&forged, &keys, &Expectations::default());
        assert_eq!(refused, Err(TokenError::NoKey("HS256".to_owned())));
    }
}
