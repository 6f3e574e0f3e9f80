//! `[auth]`: how clients prove who they are, and what they may do then.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::allowed_channels::AllowedChannels;
use super::called_url::CalledUrl;
use super::key_hash::KeyHash;
use super::namespace::Switch;
use super::section::settings;
use super::value::Word;

settings! {
    /// Who may do what. As soon as a key for tokens, an API key or a hook is configured, a client without credentials may do only what
    /// its channel's namespace gives to `anonymous`.
    pub struct AuthSettings {
        /// The cookie that may hold a token, such as `push_token`; empty for none. A cookie counts only in requests of
        /// pages whose origin is trusted.
        cookie: CookieName, "cookie" = CookieName(String::new());
        /// How many revocations of tokens are kept at a time. Each is kept until the tokens that it concerns have ended.
        max_revocations: usize, "max_revocations" = 100_000, within 1..=10_000_000;
    }
}

settings! {
    /// The keys that JSON Web Tokens are checked with. One is enough; a token is taken if one of them has signed it. Paths are
    /// relative to the directory that the broker was started in. The files are read again when they change.
    pub struct JwtSettings {
        /// A file with a secret of at least 32 bytes that the issuer of the tokens has, too (HS256; 48 bytes for HS384, 64 for
        /// HS512). White space around it is left out. A list has several such files, whose secrets all count: while one takes the place
        /// of another, `["new.key", "old.key"]`.
        hmac_secret_file: Vec<FilePath>, "hmac_secret_file" = Vec::new();
        /// Files with a public key each, in PEM: RSA (RS and PS), ECDSA (P-256, P-384) or Ed25519.
        public_key_files: Vec<FilePath>, "public_key_files" = Vec::new();
        /// Files with a JWK set each, as identity providers publish it.
        jwks_files: Vec<FilePath>, "jwks_files" = Vec::new();
        /// URLs of JWK sets, as identity providers serve them: `https://…`, or `http://…` on this machine. They are fetched at start
        /// and again and again; while one cannot be fetched, its keys stay as they were.
        jwks_urls: Vec<CalledUrl>, "jwks_urls" = Vec::new();
        /// How long a JWK set of `jwks_urls` is used at most before it is fetched again. If its `Cache-Control` says less, that counts.
        jwks_most_age: Duration, "jwks_most_age_ms" = Duration::from_hours(1), within 100..=86_400_000;
        /// How long a JWK set of `jwks_urls` is not fetched again, whatever happens: neither because a token names a key that is not
        /// in it, nor because it could not be fetched.
        jwks_least_age: Duration, "jwks_least_age_ms" = Duration::from_secs(10), within 10..=3_600_000;
        /// The issuers (`iss`) of which a token has to name one; empty for any.
        issuers: Vec<ClaimValue>, "issuers" = Vec::new();
        /// The audiences (`aud`) of which a token has to name one; empty for any.
        audiences: Vec<ClaimValue>, "audiences" = Vec::new();
        /// By how much the clocks of issuer and broker may differ.
        leeway: Duration, "leeway_ms" = Duration::from_secs(5), within 0..=300_000;
        /// For how long a token may be valid, from when it was issued (`iat`, which it then has to have) to its end; 0 for any time. A
        /// revocation that does not say for how long it is to be kept is kept for as long as this.
        max_lifetime: Duration, "max_lifetime_ms" = Duration::ZERO, within 0..=31_536_000_000;
    }
}

impl JwtSettings {
    /// Whether there is a key to check tokens with.
    pub fn is_configured(&self) -> bool {
        self.files().next().is_some() || !self.jwks_urls.is_empty()
    }

    /// Every file with keys.
    pub fn files(&self) -> impl Iterator<Item = &FilePath> {
        let public = self.public_key_files.iter().chain(&self.jwks_files);
        self.secret_files().chain(public)
    }

    /// The files with a secret each.
    pub fn secret_files(&self) -> impl Iterator<Item = &FilePath> {
        // The empty text is no file.
        self.hmac_secret_file.iter().filter(|file| !file.is_none())
    }
}

settings! {
    /// An API key for a backend: `[[auth.api_key]]`, as often as there are keys. `widecast key` makes one. The backend sends it
    /// as `Authorization: Bearer wck_…`; the settings have only its hash.
    pub struct ApiKeySettings {
        /// The name, which is the `origin` of what the backend publishes.
        name: ApiKeyName, "name" = ApiKeyName(String::new());
        /// The hash of the key, as `widecast key` prints it.
        hash: KeyHash, "hash" = KeyHash::default();
        /// The rights of its owner by patterns of channels: `{ "*" = ["publish"], "orders:*" = ["*"] }`. A star in a pattern
        /// stands for any text.
        allow: AllowedChannels, "allow" = AllowedChannels::default();
        /// The addresses from which it may be used, such as `10.0.0.0/8` or `::1`; empty for any. Behind `server.trusted_proxies` the
        /// address is that of the client.
        addresses: Vec<IpNet>, "addresses" = Vec::new();
        /// Whether its owner is an operator, who may list all channels, read the metrics, revoke tokens and put clients out.
        operator: Switch, "operator" = Switch::Off;
    }
}

/// The name of a cookie, or nothing
/// ([RFC 6265, section 4.1.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// The name, if there is one.
    pub fn name(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|name| !name.is_empty())
    }
}

impl Word for CookieName {
    const EXPECTED: &'static str = "the name of a cookie: letters, digits, - and _";

    fn read(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        text.bytes().all(is_plain).then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The path of a file, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(PathBuf);

impl FilePath {
    pub(super) const fn none() -> Self {
        Self(PathBuf::new())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// The path, if one is given.
    pub fn file(&self) -> Option<&PathBuf> {
        (!self.is_none()).then_some(&self.0)
    }

    /// The path.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Word for FilePath {
    const EXPECTED: &'static str = "the path of a file";

    fn read(text: &str) -> Option<Self> {
        Some(Self(PathBuf::from(text)))
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }
}

/// What a claim of a token has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimValue(String);

impl ClaimValue {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for ClaimValue {
    const EXPECTED: &'static str =
        "a text as it stands in tokens, such as https://login.example.com/";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The name of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyName(String);

impl ApiKeyName {
    /// The longest name, in bytes.
    const MAX_BYTES: usize = 64;

    /// Reads a name.
    ///
    /// # Errors
    /// What would be one.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("expected {}", Self::EXPECTED))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for ApiKeyName {
    const EXPECTED: &'static str = "a name of 1 to 64 letters, digits, ., - and _";

    /// A name is no web origin, so that nobody takes one for the other where a message's `origin` is shown.
    fn read(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_name = (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(is_plain);
        is_name.then(|| Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
