//! What ends the command, and with which exit status: 2 when what it was told cannot be used, 1 when it failed while
//! running, 0 for help and version.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextValue, ErrorKind};
use thiserror::Error;
use widecast_protocol::error::chain;

use crate::app::{RunError, RunErrors};
use crate::auth::KeyFileErrors;
use crate::config::{ConfigErrors, without_secrets};

/// Why the command ends.
#[derive(Debug, Error)]
pub enum CliError {
    /// The text was asked for: help or version.
    #[error("{0}")]
    Asked(String),
    /// A subcommand is missing: the help says which there are.
    #[error("{0}")]
    Help(String),
    /// The arguments are not as they should be.
    #[error("{0}")]
    Arguments(String),
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The broker cannot be started as it was told to.
    #[error("cannot serve")]
    Start(#[source] Box<dyn Error + Send + Sync>),
    /// Several things are wrong.
    #[error("{}", .0.iter().map(|error| chain(error)).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Self>),
    /// The broker does not answer.
    #[error("cannot reach the broker at {url} ({reason}): is it running, and is --url right?")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The client cannot do what it was asked for.
    #[error(transparent)]
    Client(widecast_client::Error),
    /// TLS cannot be set up as it was asked for.
    #[error("cannot use TLS: {0}; --ca names a file of authorities")]
    Tls(String),
    /// What answers is not known to be the broker.
    #[error(
        "the certificate of {url} is not trusted ({reason}): install its authority on this machine, or name it with --ca"
    )]
    Untrusted {
        /// The address.
        url: String,
        /// What TLS says.
        reason: String,
    },
    /// The broker answers that it will not.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// The file of `--token-file` holds no token that can be shown.
    #[error("cannot use the token file {}: {reason}; expected a file with a token or API key and nothing else", .file.display())]
    TokenFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker does not take the token of `--token-file`.
    #[error("the broker refuses: {reason}; put a valid token or API key into {}", .file.display())]
    TokenRefused {
        /// The file.
        file: PathBuf,
        /// What the broker says.
        reason: String,
    },
    /// The data cannot be read.
    #[error("cannot read the data from standard input")]
    Input(#[source] io::Error),
    /// The data is not what it is said to be.
    #[error("the data is not {0}")]
    NotInForm(&'static str),
    /// Standard output does not take what is printed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The process cannot do what it needs from the operating system.
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
}

impl CliError {
    /// The status the process ends with.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Asked(_) => 0,
            Self::Help(_)
            | Self::Arguments(_)
            | Self::Config(_)
            | Self::Start(_)
            | Self::Tls(_)
            | Self::TokenFile { .. } => 2,
            Self::Several(all) => all.iter().map(Self::exit_status).max().unwrap_or(1),
            // Whoever reads the output has seen enough, as `head` has.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            _ => 1,
        }
    }

    /// Writes what there is to say, each error as one line with its causes, and gives the exit status.
    pub fn report(&self, output: &mut dyn io::Write, errors: &mut dyn io::Write) -> ExitCode {
        let status = self.exit_status();
        // When neither can be written to, the status is all that is left to tell.
        let _ = match self {
            Self::Asked(text) => write!(output, "{text}"),
            Self::Help(text) => write!(errors, "{text}"),
            _ if status == 0 => Ok(()),
            Self::Several(all) => all
                .iter()
                .try_for_each(|error| writeln!(errors, "error: {}", chain(error))),
            Self::Config(all) => all
                .iter()
                .try_for_each(|error| writeln!(errors, "error: {}", chain(error))),
            _ => writeln!(errors, "error: {}", chain(self)),
        };
        ExitCode::from(status)
    }
}

/// clap says what is wrong over several lines; here it is one, without the usage.
impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        let error = without_secrets_in(error);
        let text = error.render().to_string();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Self::Asked(text),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return Self::Help(text),
            _ => {}
        }
        let parts = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("Usage:"))
            .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
            .map(|line| {
                line.trim_start_matches("error: ")
                    .trim_start_matches("tip: ")
            });
        let parts: Vec<&str> = parts.collect();
        Self::Arguments(format!(
            "{}; see widecast --help",
            parts.join("; ").replace(":; ", ": ")
        ))
    }
}

/// clap repeats what was given, which may be a URL with a password.
fn without_secrets_in(mut error: clap::Error) -> clap::Error {
    let hidden = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => {
            let shown = without_secrets(text);
            (shown != *text).then_some((kind, ContextValue::String(shown)))
        }
        _ => None,
    });
    for (kind, value) in hidden.collect::<Vec<_>>() {
        error.insert(kind, value);
    }
    error
}

/// The flags that help are named here, because the client library knows none.
impl From<widecast_client::Error> for CliError {
    fn from(error: widecast_client::Error) -> Self {
        use widecast_client::Error;
        match error {
            Error::Unreachable { url, source } => Self::Unreachable {
                url,
                reason: chain(&*source),
            },
            Error::NoAnswer { url, .. } => Self::Unreachable {
                url,
                reason: "no answer".to_owned(),
            },
            Error::Untrusted { url, source } => Self::Untrusted {
                url,
                reason: chain(&*source),
            },
            Error::Refused(refusal) => Self::Refused(refusal.to_string()),
            Error::Tls(reason) => Self::Tls(reason),
            other => Self::Client(other),
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Listen(error) => Self::Start(error.into()),
            RunError::Keys(error) => Self::Start(error.into()),
            RunError::Hook(error) => Self::Start(error.into()),
            RunError::Engine(error) => Self::Start(error.into()),
            RunError::System(error) => Self::System("serve", error),
        }
    }
}

impl From<RunErrors> for CliError {
    fn from(errors: RunErrors) -> Self {
        Self::Several(errors.into_iter().map(Self::from).collect())
    }
}

impl From<KeyFileErrors> for CliError {
    fn from(errors: KeyFileErrors) -> Self {
        let each = errors.into_iter().map(KeyFileErrors::from);
        Self::Several(each.map(|error| Self::Start(error.into())).collect())
    }
}
