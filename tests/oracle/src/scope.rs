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
    /// On a Redis server that the brokers share: a restart of the server loses them, one of a broker does not.
    Redis,
    /// On several such servers, each with channels of its own.
    Several,
    /// On a primary with replicas, which take over when the Sentinels say so.
    Sentinel,
    /// On a cluster of three primaries, each with a replica.
    Cluster,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Redis => "redis",
            Self::Several => "several",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
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
    /// What goes wrong with the Redis servers, and on the way from the brokers to them.
    Server,
    /// What Redis servers forget, or refuse because they are full.
    Forgetting,
    /// Members that come and go.
    Presence,
}

impl EngineKind {
    /// In how many places on Redis servers a broker has its channels.
    pub fn parts(self) -> f64 {
        match self {
            Self::Memory | Self::Disk => 0.0,
            Self::Redis | Self::Sentinel => 1.0,
            Self::Several => 3.0,
            Self::Cluster => 32.0,
        }
    }

    /// Whether replicas may take over.
    pub fn has_replicas(self) -> bool {
        matches!(self, Self::Sentinel | Self::Cluster)
    }

    /// Whether the messages are on Redis servers.
    pub fn has_servers(self) -> bool {
        self.parts() > 0.0
    }
}

impl Scope {
    /// Whether the runs have this.
    pub fn has(&self, feature: Feature) -> bool {
        !self.without.contains(&feature)
    }
}
