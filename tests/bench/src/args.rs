//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::floor::Batching;
use crate::scenario::{
    ALL, Bench, CALIBRATE, Contender, DISK, Effort, GUARDED, HEAL, JOIN, NODES, PEERS, Scenario,
};
use crate::server::BrokerCommand;

/// Measures the widecast binary beside the kernel's floor, on this machine's loopback address.
#[derive(Debug, Parser)]
#[command(name = "widecast-bench", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    settings: Settings,
    /// Also write everything to this file, as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Every scenario below.
    All,
    /// One channel × 1,000 subscribers, 1 and 8 publications in flight, on every wire.
    FanOut,
    /// 1,000 and 10,000 channels with one subscriber each.
    Channels,
    /// HTTP publications that one subscriber hears.
    Publish,
    /// Ten messages a second to 1,000 subscribers: p50 and p99.
    Latency,
    /// Setting up 10,000 subscriptions.
    Connect,
    /// Memory of 10,000 idle subscriptions.
    Memory,
    /// Short polls and long-polls.
    Poll,
    /// 100 clients that never read.
    Slow,
    /// The broker with tokens and limits, beside the broker without: `floor` is the latter here.
    Guarded,
    /// Debian's nginx with nchan under the same load, where it is installed, and the broker again.
    Peers,
    /// Two nodes on one Redis server, and two of Centrifugo where it is installed: `floor` is the latter here.
    Nodes,
    /// The disk engine with both durabilities, beside the memory engine: `floor` is the latter here.
    Disk,
    /// Three nodes that hear the same 10,000 channels, whose Redis server is restarted.
    Heal,
    /// Two busy nodes to which a third is added: what they notice, and when that one hears 1000 channels
    Join,
    /// The floor against the floor: the error of this tool.
    Calibrate,
    /// Serves as the floor until it is killed (started by the others).
    #[command(hide = true)]
    FloorServer {
        /// Collects messages, and writes up to so many at once.
        #[arg(long, value_name = "MESSAGES")]
        batched: Option<usize>,
    },
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// Less of everything: to see that it works, not to compare.
    #[arg(long, global = true)]
    quick: bool,
    /// The broker's binary [default: the `widecast` beside this one].
    #[arg(long, global = true, value_name = "PATH")]
    broker: Option<PathBuf>,
    /// Centrifugo's binary [default: the one in `target/tools/go`, where docs/benchmarks.md has it built].
    #[arg(long, global = true, value_name = "PATH")]
    centrifugo: Option<PathBuf>,
    /// The broker's worker threads; 0 leaves it to the broker. The floor has one thread, so 1 compares like with like.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 1)]
    workers: usize,
    /// Another argument for the broker; may be repeated.
    #[arg(
        long,
        global = true,
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    broker_arg: Vec<String>,
    /// How often each side is measured, in turn; the median counts [default: 5, quick: 1].
    #[arg(long, global = true, value_name = "COUNT")]
    rounds: Option<usize>,
    /// How long one measurement takes [default: 2, quick: 0.3].
    #[arg(long, global = true)]
    seconds: Option<f64>,
    /// How many messages one fan-out measurement takes at most.
    #[arg(long, global = true, value_name = "COUNT")]
    messages: Option<u64>,
    /// Subscribers of the one channel [default: 1000].
    #[arg(long, global = true, value_name = "COUNT")]
    subscribers: Option<usize>,
    /// Connections where many are needed [default: 10000, quick: 2000].
    #[arg(long, global = true, value_name = "COUNT")]
    connections: Option<usize>,
    /// The size of a payload.
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 128)]
    payload: usize,
}

impl Arguments {
    /// The scenarios that were asked for; none for a server.
    pub fn scenarios(&self) -> Vec<&'static Scenario> {
        let one = match self.command {
            Command::All => return ALL.iter().collect(),
            Command::Calibrate => return vec![&CALIBRATE],
            Command::Guarded => return vec![&GUARDED],
            Command::Peers => return vec![&PEERS],
            Command::Nodes => return vec![&NODES],
            Command::Disk => return vec![&DISK],
            Command::Heal => return vec![&HEAL],
            Command::Join => return vec![&JOIN],
            Command::FloorServer { .. } => return Vec::new(),
            Command::FanOut => "fan-out",
            Command::Channels => "channels",
            Command::Publish => "publish",
            Command::Latency => "latency",
            Command::Connect => "connect",
            Command::Memory => "memory",
            Command::Poll => "poll",
            Command::Slow => "slow",
        };
        ALL.iter().filter(|scenario| scenario.name == one).collect()
    }

    /// The setting, checked.
    ///
    /// # Errors
    /// When a number makes no sense, or more connections are asked for than files may be open.
    pub fn bench(&self, open_files: u64) -> Result<Bench> {
        let settings = &self.settings;
        let effort = settings.effort();
        if effort.rounds == 0 || effort.subscribers == 0 || effort.connections < 10 {
            bail!("expected at least one round, one subscriber and ten connections");
        }
        // Some for the publishers, the binary and its libraries.
        let needed = effort.connections.max(effort.subscribers) as u64 + 100;
        if needed > open_files {
            bail!(
                "{needed} files would be open at once, the limit is {open_files}: raise it (ulimit -Hn), or lower --connections"
            );
        }
        Ok(Bench {
            contender: Contender::Broker(settings.broker()?),
            centrifugo: settings.centrifugo(),
            effort,
        })
    }
}

impl Settings {
    fn effort(&self) -> Effort {
        let (rounds, seconds, connections) = if self.quick {
            (1, 0.3, 2_000)
        } else {
            (5, 2.0, 10_000)
        };
        let seconds = self.seconds.unwrap_or(seconds);
        Effort {
            rounds: self.rounds.unwrap_or(rounds),
            time: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO),
            messages: self.messages.unwrap_or(100_000),
            subscribers: self.subscribers.unwrap_or(1_000),
            connections: self.connections.unwrap_or(connections),
            payload_bytes: self.payload.max(1),
        }
    }

    fn centrifugo(&self) -> Option<PathBuf> {
        let path = match &self.centrifugo {
            Some(path) => path.clone(),
            // Beside `target/release`, where this is.
            None => (std::env::current_exe().ok()?.ancestors().nth(2)?).join("tools/go/centrifugo"),
        };
        path.exists().then_some(path)
    }

    fn broker(&self) -> Result<BrokerCommand> {
        let path = match &self.broker {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("widecast"),
        };
        Ok(BrokerCommand {
            path,
            workers: Some(self.workers).filter(|&count| count > 0),
            arguments: self.broker_arg.clone(),
        })
    }
}

/// How the floor batches.
pub fn batching(batched: Option<usize>) -> Batching {
    batched.map_or(Batching::None, Batching::UpTo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_scenario_has_a_subcommand() {
        for scenario in ALL {
            let arguments = Arguments::try_parse_from(["widecast-bench", scenario.name]).unwrap();
            let names: Vec<_> = arguments.scenarios().iter().map(|one| one.name).collect();
            assert_eq!(names, [scenario.name]);
        }
    }

    #[test]
    fn more_connections_than_files_are_refused() {
        let arguments = Arguments::try_parse_from(["widecast-bench", "all"]).unwrap();
        let error = arguments.bench(1024).unwrap_err().to_string();
        assert!(error.contains("10100 files"), "{error}");
        assert!(arguments.bench(20_000).is_ok());
    }
}
