//! `widecast token` makes a token, and `widecast token inspect` says what one proves: for trying things out, and for finding out
//! why a broker refuses somebody. In production the backend that logs users in makes their tokens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::credential_arguments::{ExplainArguments, InspectArguments, TokenArguments};
use super::error::CliError;
use crate::auth::{
    Authenticator, Basis, Claims, Grant, Principal, Shown, Subject, Words, read_unchecked, sign,
};
use crate::config::{Config, Right};
use crate::outbound_http::fetch_key_sets;
use widecast_protocol::{ChannelName, Origin};

/// Prints a token that is signed with a secret.
///
/// # Errors
/// When the secret cannot be read or is too short, or the output cannot be written.
pub fn make_token(arguments: &TokenArguments, output: &mut dyn Write) -> Result<(), CliError> {
    let file = arguments.secret_file.as_ref().ok_or_else(|| {
        let what = "name the file with the secret with --secret-file, as auth.jwt.hmac_secret_file does; see widecast token --help";
        CliError::Arguments(what.to_owned())
    })?;
    let secret = fs::read(file)
        .map_err(|error| CliError::Arguments(format!("cannot read {}: {error}", file.display())))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let expires = now + arguments.expires_in();
    let mut channels = BTreeMap::<String, Vec<String>>::new();
    for (pattern, rights) in &arguments.allow {
        let all = channels.entry(pattern.clone()).or_default();
        all.extend(rights.iter().cloned());
    }
    let channels = channels.into_iter();
    let claims = Claims {
        sub: arguments.sub.clone(),
        exp: Some(expires.as_secs().into()),
        iat: Some(now.as_secs().into()),
        channels: channels
            .map(|(pattern, rights)| (pattern, Words::Several(rights)))
            .collect(),
        subscribe_to: (!arguments.subscribe_to.is_empty())
            .then(|| Words::Several(arguments.subscribe_to.clone())),
        iss: arguments.issuer.clone(),
        aud: arguments.audience.clone(),
        jti: arguments.jti.clone(),
        info: arguments.info.clone(),
    };
    let token = sign(&secret, &claims).map_err(|error| CliError::Arguments(error.to_string()))?;
    writeln!(output, "{token}").map_err(CliError::Output)
}

/// Prints what a token says, and whether the broker with these settings takes it.
///
/// # Errors
/// When the settings cannot be used, the text is no token, or the output cannot be written.
pub fn inspect_token(
    arguments: &InspectArguments,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    output: &mut dyn Write,
) -> Result<(), CliError> {
    let token = given(&arguments.token)?;
    let claims = read_unchecked(&token).map_err(|error| CliError::Arguments(error.to_string()))?;
    let config = arguments.serve.load(variables)?.config;
    let verdict = match authenticator(&config)?.check(shown(&token)) {
        Ok(_) => "the broker with these settings takes it".to_owned(),
        Err(error) => format!("the broker with these settings refuses it: {error}"),
    };
    writeln!(output, "{claims}\n{verdict}").map_err(CliError::Output)
}

/// Prints what may be done on a channel, and why or why not.
///
/// # Errors
/// When the settings cannot be used, the broker would refuse the token, or the output cannot be written.
pub fn explain(
    arguments: &ExplainArguments,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    output: &mut dyn Write,
) -> Result<(), CliError> {
    let config = arguments.serve.load(variables)?.config.with_demos();
    let authenticator = authenticator(&config)?;
    let subject = match &arguments.token {
        None => authenticator.without_credential(),
        Some(token) => authenticator
            .check(Shown {
                address: arguments.address,
                ..shown(&given(token)?)
            })
            .map_err(|error| CliError::Arguments(error.to_string()))?,
    };
    // The broker looks at this before all rights.
    let fits = config.limits.check_length(&arguments.channel);
    fits.map_err(CliError::Arguments)?;
    let who = described(&subject);
    let principal = Principal::new(subject, Origin::unknown());
    let channel = &arguments.channel;
    let namespace = config.namespaces.name_of(channel);
    let mut lines = vec![format!(
        "{who} on {channel}, by the rules of namespace.{namespace}:"
    )];
    for right in Right::ALL {
        let verdict = match principal.require(right, channel, config.namespace(channel)) {
            Ok(basis) => format!("allowed: {}", reason(basis, &principal, right, channel)),
            Err(denial) => format!("refused ({}): {}", denial.code, denial.detail),
        };
        lines.push(format!("{:9} {verdict}", right.as_str()));
    }
    if config.hook.is_configured() && principal.api_key().is_none() {
        lines.push("auth.hook.url is set: what is allowed, the hook may still refuse".to_owned());
        if matches!(principal.subject(), Subject::Anonymous) {
            lines.push(
                "and it may name the user, who then has what the namespace gives to every user (user)".to_owned(),
            );
        }
    }
    writeln!(output, "{}", lines.join("\n")).map_err(CliError::Output)
}

/// Why something is allowed; where a credential gives the right, with the patterns by which it does.
fn reason(basis: Basis, principal: &Principal, right: Right, channel: &ChannelName) -> String {
    let setting = match basis {
        Basis::Token => "channels",
        Basis::ApiKey => "allow",
        _ => return basis.to_string(),
    };
    let Some(grant) = principal.subject().grant() else {
        return basis.to_string();
    };
    format!("{basis} ({})", sources(setting, grant, right, channel))
}

/// Where a grant has a right: the patterns, behind the name of what has them, and `subscribe_to`.
fn sources(setting: &str, grant: &Grant, right: Right, channel: &ChannelName) -> String {
    let patterns: Vec<String> = grant
        .giving(right, channel)
        .map(ToString::to_string)
        .collect();
    let mut sources = Vec::new();
    if !patterns.is_empty() {
        sources.push(format!("{setting}: {}", patterns.join(", ")));
    }
    if right == Right::Subscribe && grant.has_subscription(channel) {
        sources.push("subscribe_to".to_owned());
    }
    sources.join("; ")
}

/// A token from an unknown address.
fn shown(token: &str) -> Shown<'_> {
    Shown {
        credential: token,
        address: None,
        last: None,
    }
}

fn authenticator(config: &Config) -> Result<Authenticator, CliError> {
    let authenticator = Authenticator::new(config)?;
    let fetching = fetch_key_sets(authenticator.key_sets());
    let fetched = actix_rt::System::new().block_on(fetching);
    fetched.map_err(|error| CliError::Arguments(error.to_string()))?;
    Ok(authenticator)
}

fn described(subject: &Subject) -> String {
    match subject {
        Subject::Anybody => "anybody (no authentication is configured)".to_owned(),
        Subject::Anonymous => "somebody without credentials".to_owned(),
        Subject::User(proof) => match &proof.user {
            Some(user) => format!("the user {user}"),
            None => "somebody with a token without user".to_owned(),
        },
        Subject::Named(user) => format!("the user {user}"),
        Subject::ApiKey(key) => format!("the API key {}", key.name()),
    }
}

/// The credential as it was given, or from standard input.
fn given(argument: &str) -> Result<String, CliError> {
    let mut text = argument.to_owned();
    if argument == "-" {
        text.clear();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(CliError::Input)?;
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: TokenArguments,
    }

    fn made(arguments: &[&str]) -> Result<String, CliError> {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        fs::write(&secret, "x".repeat(32)).unwrap();
        let file = ["token", "--secret-file", secret.to_str().unwrap()];
        let command = Command::parse_from(file.iter().chain(arguments));
        let mut output = Vec::new();
        make_token(&command.arguments, &mut output)?;
        Ok(String::from_utf8(output).unwrap().trim().to_owned())
    }

    #[test]
    fn rights_on_the_same_pattern_add_up() {
        let token = made(&["--allow", "a=subscribe", "--allow", "a=publish"]).unwrap();
        let claims = read_unchecked(&token).unwrap();
        let rights = serde_json::json!({ "a": ["subscribe", "publish"] });
        assert_eq!(claims["channels"], rights);
    }

    #[test]
    fn a_token_that_no_broker_would_take_is_not_made() {
        for (arguments, told) in [
            (&["--sub", ""][..], "sub"),
            (&["--subscribe-to", ".."], "subscribe_to"),
            (&["--allow", "user:{sub}=subscribe"], "{sub}"),
        ] {
            let refused = made(arguments).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
        assert!(made(&["--expires-in", "0"]).is_ok());
    }
}
