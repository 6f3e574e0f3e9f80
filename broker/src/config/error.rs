//! What can be wrong with the settings; every message names the key, where it was given, and the cure.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::source::SettingSource;

/// All that is wrong with the settings; there is at least one error.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Succeeds if there are no errors.
    ///
    /// # Errors
    /// When there are some: all of them.
    pub(super) fn none_of(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(Self(errors))
    }

    /// The errors: first those of the layers in their order, then contradictions.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

/// The messages, one a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<String> = self.iter().map(ToString::to_string).collect();
        f.write_str(&messages.join("\n"))
    }
}

impl Error for ConfigErrors {}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What the TOML parser says.
        message: String,
    },
    /// There is no setting of this name.
    #[error("{at}: unknown setting {key}{}; `widecast config show` lists all", hint(nearest.as_deref()))]
    UnknownKey {
        /// The name that was given.
        key: String,
        /// Where.
        at: SettingSource,
        /// The known name most like it, if any is.
        nearest: Option<String>,
    },
    /// There is no environment variable of this name.
    #[error("unknown environment variable {name}{}; those that begin with WIDECAST_ are settings", hint(nearest.as_deref()))]
    UnknownVariable {
        /// The name that was given.
        name: String,
        /// The known name most like it, if any is.
        nearest: Option<String>,
    },
    /// The environment variable is not UTF-8.
    #[error("the value of the environment variable {name} is not valid UTF-8")]
    VariableNotText {
        /// The name of the variable.
        name: String,
    },
    /// The value is of the wrong type, or out of bounds.
    #[error("{at}: {key} = {value}: expected {expected}")]
    WrongValue {
        /// The setting.
        key: String,
        /// What was given.
        value: String,
        /// Where.
        at: SettingSource,
        /// What would be right.
        expected: String,
    },
    /// A `--set` without `=`.
    #[error("--set {given}: expected KEY=VALUE, such as --set limits.message_bytes=65536")]
    NoAssignment {
        /// What was given.
        given: String,
    },
    /// The list of addresses is empty.
    #[error("server.listen is empty: name at least one address, such as 127.0.0.1:8080")]
    NoAddress,
    /// Everybody could read and write everything.
    #[error(
        "{address} can be reached from other machines and no authentication is configured: configure it ([auth] in \
         docs/authentication.md), listen on a loopback address, or accept that anybody may read and write every channel with --allow-public-without-authentication"
    )]
    PublicWithoutAuthentication {
        /// The address.
        address: SocketAddr,
    },
    /// An API key cannot be used.
    #[error("auth.api_key {number} {name:?} {lacks}")]
    UnusableApiKey {
        /// The how-manieth it is, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// An engine lacks something, or has what is another's.
    #[error("engine.{name} {lacks}")]
    UnusableEngine {
        /// Its name.
        name: String,
        /// What is wrong with it.
        lacks: String,
    },
    /// A namespace chooses an engine that is not configured.
    #[error(
        "namespace.{namespace}.engine = \"{engine}\": there is no such engine; configure it in a section [engine.{engine}], or choose \"default\""
    )]
    NoSuchEngine {
        /// The namespace.
        namespace: String,
        /// The name of the engine.
        engine: String,
    },
    /// No channel can have this namespace: it is what comes before the first colon of a name.
    #[error(
        "namespace.{0:?}: no channel is in it, since the part of a channel's name before the first colon is its namespace"
    )]
    NamespaceWithColon(String),
    /// Two settings contradict each other.
    #[error("{key} must be {relation} {other}: change one of the two")]
    Contradiction {
        /// One setting.
        key: &'static str,
        /// How it must be.
        relation: &'static str,
        /// The other.
        other: &'static str,
    },
}

impl ConfigError {
    /// Whether it may be there only because one of the settings that it compares could not be read.
    pub(super) fn follows_from(&self, errors: &[Self]) -> bool {
        let compared = match self {
            Self::PublicWithoutAuthentication { .. } => [
                "server.listen",
                "server.allow_public_without_authentication",
            ],
            Self::Contradiction { key, other, .. } => [*key, *other],
            _ => return false,
        };
        errors.iter().any(|error| match error {
            Self::WrongValue { key, .. } => compared.contains(&key.as_str()),
            _ => false,
        })
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}
