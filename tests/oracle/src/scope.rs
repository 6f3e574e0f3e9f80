//! What the runs may contain, and what can be left out.

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
}

impl Scope {
    /// Whether the runs have this.
    pub fn has(&self, feature: Feature) -> bool {
        !self.without.contains(&feature)
    }
}
