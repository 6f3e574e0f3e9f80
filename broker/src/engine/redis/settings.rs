//! What the Redis engine keeps to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::ephemeral::EphemeralChannels;
use crate::config::IDEMPOTENCY_WINDOW;

/// Where the server is, and the bounds and times of the engine.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/database]`, `redis+sentinel://[user:password@]host[:port],…/primary[/database]`,
    /// or `rediss` instead of `redis` for TLS.
    pub url: String,
    /// All servers that share the channels, if there are several: [`super::RedisEngine::start_several`] knows.
    pub servers: String,
    /// A file with the password, instead of one in `url`.
    pub password_file: Option<PathBuf>,
    /// A file with the password of the Sentinels.
    pub sentinel_secret_file: Option<PathBuf>,
    /// What all keys and topics begin with: brokers with different prefixes do not hear each other.
    pub key_prefix: String,
    /// How long a command may wait for its answer, also while there is no connection.
    pub timeout: Duration,
    /// How many commands may wait for their answers at once; the next is refused.
    pub queue: usize,
    /// How many replicas have to have a publication before it is acknowledged.
    pub replicas: usize,
    /// How long these may take.
    pub replicas_wait: Duration,
    /// The server keeps its data over a restart, and no other takes its place: a channel then keeps its epoch.
    pub trust_persistence: bool,
    /// For how long this node counts as running after it was last heard of.
    pub lease: Duration,
    /// How long a channel that nobody uses any more is remembered.
    pub idle_grace: Duration,
    /// How long a member may be without a connection before it leaves.
    pub presence_grace: Duration,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
    /// The channels of whose messages nothing is kept.
    pub ephemeral: EphemeralChannels,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            servers: String::new(),
            password_file: None,
            sentinel_secret_file: None,
            key_prefix: "widecast".to_owned(),
            timeout: Duration::from_secs(5),
            queue: 16_384,
            replicas: 0,
            replicas_wait: Duration::from_secs(1),
            trust_persistence: false,
            lease: Duration::from_secs(12),
            idle_grace: Duration::from_mins(5),
            presence_grace: Duration::from_secs(5),
            idempotency_window: IDEMPOTENCY_WINDOW,
            ephemeral: EphemeralChannels::default(),
        }
    }
}

impl RedisSettings {
    /// How often the connections are tried and the lease is renewed.
    pub(super) fn heartbeat(&self) -> Duration {
        (self.lease / 4).max(Duration::from_millis(100))
    }

    /// The times of it. The first is left to chance, so that those of several engines, and of brokers that were started together, do not
    /// fall together.
    pub(super) fn heartbeats(&self) -> Interval {
        let first = self.heartbeat().mul_f64(rand::random());
        let mut heartbeats = tokio::time::interval_at(Instant::now() + first, self.heartbeat());
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeats
    }
}

/// The URL may have a password in it.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("key_prefix", &self.key_prefix)
            .finish_non_exhaustive()
    }
}

/// A duration as the scripts take it, at most a hundred years.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    const MOST: u64 = 100 * 365 * 24 * 3600 * 1000;
    u64::try_from(duration.as_millis()).map_or(MOST, |milliseconds| milliseconds.min(MOST))
}
