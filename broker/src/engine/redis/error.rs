//! Why a server cannot be used. No password is in these messages.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

use super::server_url::{UrlError, shown};

/// The server cannot be used.
#[derive(Debug, Error)]
pub enum RedisStartError {
    /// The URL cannot be read.
    #[error(
        "{url}: {reason}; expected redis://[user[:password]@]host[:port][/database], \
         redis+sentinel://[user[:password]@]host[:port],…/primary[/database], redis+cluster://[user[:password]@]host[:port],…, \
         or rediss… for TLS"
    )]
    Url {
        /// The URL, without a password.
        url: String,
        /// What is wrong with it.
        reason: UrlError,
    },
    /// The file with the password cannot be read.
    #[error("expected the password in the file {path:?}")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Nothing listens there, or something that is no Redis.
    #[error("expected a Redis server at {address}")]
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
    #[error("the Redis server at {address} refuses the user or the password of `url`")]
    Password {
        /// Where.
        address: String,
        /// What the server says.
        #[source]
        source: RedisError,
    },
    /// The user may not do what is needed.
    #[error(
        "the user of `url` may not do what is needed on the Redis server at {address} (docs/scaling.md lists the commands)"
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
    #[error(
        "expected a primary at {address}: it is a replica, which cannot be written to; its primary is at {primary}. Name that, or Sentinels \
         (redis+sentinel://…) where another may take its place"
    )]
    Replica {
        /// Where.
        address: String,
        /// What it follows.
        primary: String,
    },
    /// What was the primary for the Sentinels, or for a node of the cluster, is a replica now.
    #[error("the Redis server at {address}, which was the primary a moment ago, is a replica now")]
    Demoted {
        /// Where.
        address: String,
    },
    /// The server is a Sentinel.
    #[error(
        "expected a Redis server at {address}: it is a Sentinel; name it as redis+sentinel://{address}/<name of the primary>"
    )]
    IsSentinel {
        /// Where.
        address: String,
    },
    /// The server is a node of a cluster.
    #[error(
        "the Redis server at {address} is a node of a cluster (`cluster-enabled yes`): name the cluster, as `url = \"redis+cluster://{address}\"` \
         with some more of its nodes"
    )]
    Cluster {
        /// Where.
        address: String,
    },
    /// A cluster was expected, and the server is none.
    #[error(
        "expected a node of a cluster at {address}: the Redis server there is by itself; name it as redis://{address}"
    )]
    NotACluster {
        /// Where.
        address: String,
    },
    /// A node of a cluster lacks sharded pub/sub.
    #[error(
        "expected Redis 7.0 or newer, or Valkey, for a cluster, at {address}: it is {version:?}"
    )]
    TooOldForCluster {
        /// Where.
        address: String,
        /// What it says it is.
        version: String,
    },
    /// A cluster shares the channels by itself.
    #[error(
        "a cluster (redis+cluster://…) is named by `url` alone, not in `urls`: it shares the channels among its nodes by itself"
    )]
    ClusterAmongSeveral,
    /// No node of a cluster can be asked.
    #[error("no node of the cluster can be asked where the channels are")]
    NoClusterNode {
        /// What is wrong with one of them.
        source: Arc<RedisStartError>,
    },
    /// A cluster is not complete.
    #[error(
        "no node of the cluster at {address} has slot {slot}; `redis-cli --cluster check` says more"
    )]
    SlotWithoutPrimary {
        /// Which nodes the settings name.
        address: String,
        /// The slot.
        slot: u16,
    },
    /// The Sentinels know another primary, or none.
    #[error("expected the Sentinels to know a primary of that name: {address}")]
    NoSuchPrimary {
        /// Who was asked for what.
        address: String,
    },
    /// A Sentinel cannot be asked, and no other can.
    #[error("no Sentinel can be asked for the primary{}", sentinel_hint(source))]
    Sentinel {
        /// What is wrong with the last of them.
        source: Box<RedisStartError>,
    },
    /// Two servers have one name.
    #[error(
        "`urls` has the server {name} twice: each needs an address, or a name (`?name=…`), of its own"
    )]
    Twice {
        /// The name.
        name: String,
    },
    /// Another broker that is running shares the channels among other servers.
    #[error(
        "another broker at the Redis server at {address} says that the channels are on {theirs:?}, this one says {ours:?}: all brokers need the same \
         servers, by the same addresses or names (`?name=…`). To change them, stop all brokers, and wait for `lease_ms`"
    )]
    Disagreement {
        /// Where.
        address: String,
        /// The servers of the other.
        theirs: String,
        /// The servers of this one.
        ours: String,
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
    /// What is wrong with a URL of the settings.
    pub(super) fn of_url(url: &str, reason: UrlError) -> Self {
        let url = shown(url);
        Self::Url { url, reason }
    }

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
            Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Demoted { .. }
                | Self::SlotWithoutPrimary { .. }
        ) || matches!(self, Self::Sentinel { source } if source.may_pass())
            || matches!(self, Self::NoClusterNode { source } if source.may_pass())
    }

    /// The same, of a Sentinel.
    pub(super) fn of_sentinel(self) -> Self {
        Self::Sentinel {
            source: Box::new(self),
        }
    }
}

fn sentinel_hint(error: &RedisStartError) -> &'static str {
    match error {
        RedisStartError::Password { .. } => {
            " (the password of the Sentinels is in `sentinel_secret_file`, not in `url`)"
        }
        _ => "",
    }
}
