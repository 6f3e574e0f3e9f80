//! Tokens: whatever somebody sends as one, and whatever claims somebody has signed who knows the secret.

#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use ring::hmac::{HMAC_SHA256, Key, sign};
use widecast::auth::{Authenticator, Shown, Subject};
use widecast::config::Layers;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), SECRET).expect("it can be written");
    let setting = format!("auth.jwt.hmac_secret_file={}", file.path().display());
    let config = Layers::new()
        .set(&setting)
        .load()
        .expect("it is a setting")
        .config;
    // Its keys are looked for again when they change: the file stays.
    file.keep().expect("it can stay");
    Authenticator::new(&config).expect("the secret is long enough")
});

fn signed(header: &[u8], claims: &[u8]) -> String {
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let signature = sign(&Key::new(HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", encoded(signature.as_ref()))
}

fn check(token: &str) {
    let shown = Shown {
        credential: token,
        address: None,
        last: None,
    };
    match AUTHENTICATOR.check(shown) {
        Ok(Subject::User(proof)) => {
            let user = proof.user.as_deref();
            assert!(user.is_none_or(|user| (1..=255).contains(&user.len())));
        }
        Ok(_) => panic!("a token proves to be a user"),
        Err(error) => {
            // No error has any of a longer credential in it.
            let told = error.to_string();
            assert!(token.len() < 40 || !told.contains(token));
        }
    }
}

fuzz_target!(|input: &[u8]| {
    if let Ok(token) = std::str::from_utf8(input)
        && !token.starts_with("wck_")
    {
        check(token);
    }
    check(&signed(br#"{"alg":"HS256"}"#, input));
    check(&signed(input, br#"{"exp":99999999999}"#));
});
