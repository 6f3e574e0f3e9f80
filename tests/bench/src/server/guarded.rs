//! A broker with authentication, in which everything is limited, and the credentials for it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::process::Server;
use super::start::BrokerCommand;

/// The secret that its tokens are signed with: nothing here is secret.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// More than any load here publishes in a second: each message is counted, and none is refused.
const PER_SECOND: u64 = 100_000_000;
const BYTES_PER_SECOND: u64 = 1 << 40;

/// By what a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A JSON Web Token, signed with a secret.
    Token,
    /// An API key.
    ApiKey,
}

impl Server {
    /// Starts the broker with authentication and with limits for sessions, users, API keys, channels and addresses. All requests to it have
    /// to carry [`Server::headers`].
    ///
    /// # Errors
    /// When it does not start, or makes no credentials.
    pub fn guarded(command: &BrokerCommand, credential: Credential) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = directory.path().join("jwt.key");
        fs::write(&secret, SECRET)?;
        let (key, hash) = api_key(command)?;
        let settings = guarded_settings(&secret, &hash);
        let credential = match credential {
            Credential::Token => token(command, &secret)?,
            Credential::ApiKey => key,
        };
        let mut server = Self::broker_with(command, &settings, directory)?;
        server.headers = format!("Authorization: Bearer {credential}\r\n");
        Ok(server)
    }
}

fn guarded_settings(secret: &Path, hash: &str) -> String {
    let mut text = format!(
        "auth.jwt.hmac_secret_file = '{}'\n\
         auth.api_key = [{{ name = \"bench\", hash = {hash:?}, allow = {{ \"*\" = [\"*\"] }} }}]\n\
         namespace.default.private = true\n\
         limits.loopback_has_a_share = true\n\
         limits.sessions_per_address_and_second = {PER_SECOND}\n\
         limits.connections_per_address_and_second = {PER_SECOND}\n\
         limits.work_bytes_per_address_and_second = {BYTES_PER_SECOND}\n",
        secret.display()
    );
    for owner in ["session", "user", "api_key", "channel"] {
        // A text takes everything that is written to it.
        let _ = writeln!(
            text,
            "limits.publications_per_{owner}_and_second = {PER_SECOND}\n\
             limits.publication_bytes_per_{owner}_and_second = {BYTES_PER_SECOND}"
        );
    }
    text
}

fn token(command: &BrokerCommand, secret: &Path) -> Result<String> {
    let secret = secret.to_str().context("a path of text")?;
    let claims = [
        "--sub",
        "7",
        "--allow",
        "*=publish,subscribe",
        "--expires-in",
        "86400",
    ];
    let made = run(
        command,
        &[&["token", "--secret-file", secret], &claims[..]].concat(),
    )?;
    Ok(made.trim().to_owned())
}

/// An API key, and the hash by which the settings know it.
fn api_key(command: &BrokerCommand) -> Result<(String, String)> {
    let made = run(command, &["key", "bench"])?;
    let mut words = made.split_whitespace().map(|word| word.trim_matches('"'));
    let key = words.find(|word| word.starts_with("wck_"));
    let hash = words.skip_while(|word| *word != "hash").nth(2);
    let (key, hash) = key.zip(hash).with_context(|| made.clone())?;
    Ok((key.to_owned(), hash.to_owned()))
}

fn run(command: &BrokerCommand, arguments: &[&str]) -> Result<String> {
    let output = Command::new(&command.path).args(arguments).output();
    let output = output.with_context(|| format!("starting {}", command.path.display()))?;
    if !output.status.success() {
        bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
