//! What the runs may contain, and what can be left out.

use std::fmt;
use std::time::Duration;

/// What a run may contain.
#[derive(Debug, Clone)]
pub struct Scope {
    /// For how long there are publications and faults.
    pub time: Duration,
    /// What is left out.
    pub without: Vec<Feature>,
    /// Where the broker keeps its messages.
    pub engine: EngineKind,
}

/// Where the broker keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum EngineKind {
    /// In memory: a restart loses them, which has to be told.
    #[default]
    Memory,
    /// On the disk: a restart is no reason for a gap.
    Disk,
    /// On a Redis server that two brokers share: a restart of the server loses them, one of a broker does not.
    Redis,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Redis => "redis",
        })
    }
}

/// Something that can be left out, to look at the rest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Feature {
    /// Slow-consumer rules that drop messages.
    Drops,
    /// Raw streams and polls of several channels.
    Several,
    /// Raw transports.
    Raw,
    /// WebSockets with JSON.
    Json,
    /// Sessions.
    Sessions,
    /// Sessions that leave channels and come back.
    Leaving,
    /// Restarts of the broker.
    Restarts,
    /// Halts of the broker.
    Halts,
    /// Large messages.
    Large,
    /// Histories that are short.
    ShortHistories,
    /// Faults of the network.
    Faults,
    /// What goes wrong with the Redis server, and on the way from the brokers to it.
    Server,
}

impl Scope {
    /// Whether the runs have this.
    pub fn has(&self, feature: Feature) -> bool {
        !self.without.contains(&feature)
    }
}
