//! The arguments of the subcommands that are about credentials: `key`, `token` and `config explain`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::value::RawValue;
use widecast_protocol::ChannelName;

use super::arguments::ServeArguments;
use crate::config::{ApiKeyName, Rights};

/// Which channel to explain, and to whom.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The channel
    #[arg(value_parser = ChannelName::parse)]
    pub channel: ChannelName,
    /// For somebody with this token or API key; - reads it from standard input. Without it: for somebody without credentials
    #[arg(long)]
    pub token: Option<String>,
    /// From which address it is shown, where an API key may be used from some only (`auth.api_key.addresses`)
    #[arg(long)]
    pub address: Option<IpAddr>,
    /// The settings that the broker has.
    #[command(flatten)]
    pub serve: ServeArguments,
}

/// The key to make.
#[derive(Debug, Args)]
pub struct KeyArguments {
    /// The backend's name, which is the origin of what it publishes
    #[arg(default_value = "backend", value_parser = ApiKeyName::parse)]
    pub name: ApiKeyName,
}

/// The token to make, or what to do with one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TokenArguments {
    /// What to do with a token.
    #[command(subcommand)]
    pub command: Option<TokenCommand>,
    /// The file with the secret to sign with (HS256)
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// The user
    #[arg(long, value_name = "USER")]
    pub sub: Option<String>,
    /// Rights on channels, such as `user:{sub}:*=subscribe,history` or `news=*`; may be given several times
    #[arg(long, value_name = "PATTERN=RIGHTS", value_parser = allowed)]
    pub allow: Vec<(String, Vec<String>)>,
    /// A channel that sessions join without asking, such as `user:{sub}`; may be given several times
    #[arg(long, value_name = "CHANNEL")]
    pub subscribe_to: Vec<String>,
    /// What others are shown of the user where it is listed as a member: JSON, such as {"name":"Ann"}
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub info: Option<Box<RawValue>>,
    /// For how many seconds the token is valid
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    expires_in: u32,
    /// The issuer (iss), where auth.jwt.issuers asks for one
    #[arg(long, value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// The audience (aud), where auth.jwt.audiences asks for one
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// The name of the token, by which it can be revoked
    #[arg(long, value_name = "NAME")]
    pub jti: Option<String>,
}

impl TokenArguments {
    /// For how long the token is valid.
    pub fn expires_in(&self) -> Duration {
        Duration::from_secs(self.expires_in.into())
    }
}

/// What to do with a token.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print what a token says, and whether the broker with these settings takes it.
    Inspect(InspectArguments),
}

/// The token to inspect.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The token; - reads it from standard input
    pub token: String,
    /// The settings that the broker has.
    #[command(flatten)]
    pub serve: ServeArguments,
}

fn json(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))
}

/// Reads `PATTERN=RIGHTS`. A pattern may have `=` itself, rights have none.
fn allowed(text: &str) -> Result<(String, Vec<String>), String> {
    let expected = || {
        format!(
            "expected PATTERN=RIGHTS, each right one of {}",
            Rights::EXPECTED
        )
    };
    let (pattern, rights) = text.rsplit_once('=').ok_or_else(expected)?;
    let rights: Vec<String> = rights
        .split(',')
        .map(|word| word.trim().to_owned())
        .collect();
    Rights::read(rights.iter().map(String::as_str)).ok_or_else(expected)?;
    Ok((pattern.to_owned(), rights))
}
