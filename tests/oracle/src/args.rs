//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::campaign::Logs;
use crate::scope::{EngineKind, Feature, Scope};

/// Publishes and subscribes through a failing network, and checks that the broker keeps its promises.
#[derive(Debug, Parser)]
#[command(name = "widecast-oracle", version)]
pub struct Arguments {
    /// How many runs, each with its own seed.
    #[arg(long, default_value_t = 10)]
    pub runs: u64,
    /// For how long a run publishes and lets things fail; then all has to be heard.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// The seed of the first run; the next ones count on [default: another one each time].
    #[arg(long)]
    pub seed: Option<u64>,
    /// The broker's binary [default: `BROKER_BINARY`, or the one beside this, built if need be].
    #[arg(long, value_name = "PATH")]
    pub broker: Option<PathBuf>,
    /// Where the logs of runs with violations go.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/oracle")]
    logs: PathBuf,
    /// Keep the logs of all runs.
    #[arg(long)]
    all_logs: bool,
    /// What the runs leave out, to look at the rest alone; may be repeated.
    #[arg(long, value_name = "WHAT")]
    without: Vec<Feature>,
    /// Where the broker keeps its messages.
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
}

impl Arguments {
    /// Which logs are kept, and where.
    pub fn logs(&self) -> Logs {
        Logs {
            directory: self.logs.clone(),
            all: self.all_logs,
        }
    }

    /// What a run may contain.
    pub fn scope(&self) -> Scope {
        Scope {
            time: Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::ZERO),
            without: self.without.clone(),
            engine: self.engine,
        }
    }
}
