//! Why a server cannot be used. No password is in these messages.

use std::io;
use std::path::PathBuf;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

/// The server cannot be used.
#[derive(Debug, Error)]
pub enum RedisStartError {
    /// The URL cannot be read.
    #[error(
        "expected `url` to be redis://[user:password@]host[:port][/database], or rediss:// for TLS: {source}"
    )]
    Url {
        /// What is wrong.
        #[source]
        source: RedisError,
    },
    /// The file with the password cannot be read.
    #[error("expected the password in the file {path:?}: {source}")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Nothing listens there, or something that is no Redis.
    #[error("expected a Redis server at {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        #[source]
        source: RedisError,
    },
    /// There is no answer.
    #[error("expected a Redis server at {address} to answer in time")]
    Silent {
        /// Where.
        address: String,
    },
    /// The password or the user is wrong.
    #[error("the Redis server at {address} refuses the user or the password of `url`: {source}")]
    Password {
        /// Where.
        address: String,
        /// What the server says.
        #[source]
        source: RedisError,
    },
    /// The user may not do what is needed.
    #[error(
        "the user of `url` may not do what is needed on the Redis server at {address}: {source}; \
         docs/scaling.md lists the commands"
    )]
    Permission {
        /// Where.
        address: String,
        /// What the server says.
        #[source]
        source: RedisError,
    },
    /// The server lacks what is needed.
    #[error("expected Redis 6.2 or newer, or Valkey, at {address}: it is {version:?}")]
    TooOld {
        /// Where.
        address: String,
        /// What it says it is.
        version: String,
    },
    /// The server only follows another.
    #[error("expected a primary at {address}: it is a replica, which cannot be written to")]
    Replica {
        /// Where.
        address: String,
    },
    /// The server does not say which process it is.
    #[error(
        "expected `run_id` in INFO of the Redis server at {address}: without it a restart from an older file goes unnoticed; \
         set `trust_persistence = true` if that cannot happen"
    )]
    Nameless {
        /// Where.
        address: String,
    },
}

impl RedisStartError {
    /// What an error at the beginning of a connection means.
    pub(super) fn of(source: RedisError, address: String) -> Self {
        let code = source.code().unwrap_or_default().to_owned();
        match source.kind() {
            ErrorKind::AuthenticationFailed => Self::Password { address, source },
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Permission { address, source },
            _ if matches!(&*code, "WRONGPASS" | "NOAUTH") => Self::Password { address, source },
            _ => Self::Unreachable { address, source },
        }
    }

    /// Whether it may be another time by itself: a broker need not be started after its server.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Replica { .. }
        )
    }
}
