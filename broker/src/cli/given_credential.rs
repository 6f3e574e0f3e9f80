//! `--token` and `--token-file`, and the environment variables in their place.
//!
//! The command line wins over the environment, as for every setting: also over the variable of the other one of the two.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ErrorKind, Result};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

use super::arguments::empty_variable;

const TOKEN: &str = "token";
const FILE: &str = "token_file";

/// What proves who is calling, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GivenCredential {
    /// Nothing does.
    None,
    /// This token or API key.
    Token(String),
    /// What this file holds.
    File(PathBuf),
}

#[derive(Args)]
struct CredentialArguments {
    /// The token or API key to prove who this is; other users of this machine can see arguments, but not the variable
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WIDECAST_TOKEN",
        hide_env_values = true
    )]
    token: Option<OsString>,
    /// A file with the token or API key, which is read again when the broker no longer takes it
    #[arg(long, value_name = "FILE", env = "WIDECAST_TOKEN_FILE")]
    token_file: Option<OsString>,
}

impl GivenCredential {
    fn of(given: CredentialArguments, matches: &ArgMatches) -> Result<Self> {
        let is_on_line = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let (token, file) = match (is_on_line(TOKEN), is_on_line(FILE)) {
            (true, false) => (given.token, None),
            (false, true) => (None, given.token_file),
            _ => (given.token, given.token_file),
        };
        let names = [
            (TOKEN, "--token", "WIDECAST_TOKEN", &token),
            (FILE, "--token-file", "WIDECAST_TOKEN_FILE", &file),
        ];
        for (id, flag, variable, value) in names {
            if value.as_ref().is_some_and(|value| value.is_empty()) {
                return Err(bad(if is_on_line(id) {
                    format!("{flag} is empty: give it a value, or leave it out")
                } else {
                    empty_variable(variable)
                }));
            }
        }
        match (token, file) {
            (None, None) => Ok(Self::None),
            (None, Some(file)) => Ok(Self::File(file.into())),
            (Some(token), None) => match token.into_string() {
                Ok(token) => Ok(Self::Token(token)),
                Err(_) => Err(bad("the token has characters that are not ASCII")),
            },
            (Some(_), Some(_)) => Err(bad(
                "there is a token (--token or WIDECAST_TOKEN) and a file with one (--token-file or WIDECAST_TOKEN_FILE): \
                 give one of them only",
            )),
        }
    }
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::raw(ErrorKind::ArgumentConflict, what)
}

impl FromArgMatches for GivenCredential {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self> {
        Self::of(CredentialArguments::from_arg_matches(matches)?, matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<()> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for GivenCredential {
    fn augment_args(command: Command) -> Command {
        CredentialArguments::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        CredentialArguments::augment_args_for_update(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        credential: GivenCredential,
    }

    fn read(line: &[&str]) -> Result<GivenCredential> {
        let line = Line::try_parse_from([&["widecast"], line].concat())?;
        Ok(line.credential)
    }

    #[test]
    fn one_of_the_two_is_given() {
        let token = GivenCredential::Token("x".to_owned());
        assert_eq!(read(&[]).unwrap(), GivenCredential::None);
        assert_eq!(read(&["--token", "x"]).unwrap(), token);
        let file = GivenCredential::File(PathBuf::from("y"));
        assert_eq!(read(&["--token-file=y"]).unwrap(), file);
        let both = read(&["--token", "x", "--token-file", "y"]).unwrap_err();
        assert!(both.to_string().contains("give one of them only"), "{both}");
    }
}
