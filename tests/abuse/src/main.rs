//! The `widecast-abuse` binary: arguments, then abuses, then the verdict.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use widecast_abuse::kinds::{KINDS, kind};
use widecast_abuse::siege::besiege;
use widecast_tests::program::use_binary;

/// Abuses a broker in many ways, and checks that it keeps its bounds and that a bystander loses nothing.
#[derive(Debug, Parser)]
struct Arguments {
    /// The kinds of abuse; all of them if none is named. `--list` shows them.
    kinds: Vec<String>,
    /// Shows the kinds of abuse.
    #[arg(long)]
    list: bool,
    /// How strong the abuses are; the bounds of memory grow with it.
    #[arg(long, default_value_t = 1)]
    scale: usize,
    /// How many variants of each kind.
    #[arg(long, default_value_t = 1)]
    variants: u64,
    /// The seed of the first variant; by default another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// The broker's binary; by default the one that is built from this tree.
    #[arg(long)]
    broker: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut output = io::stdout();
    if arguments.list {
        for kind in KINDS {
            writeln!(output, "{:<20} {}", kind.name, kind.about)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut kinds = Vec::new();
    for name in &arguments.kinds {
        kinds.push(
            kind(name)
                .ok_or_else(|| anyhow::anyhow!("there is no kind {name}; --list shows all"))?,
        );
    }
    if kinds.is_empty() {
        kinds.extend(KINDS);
    }
    if let Some(path) = arguments.broker {
        use_binary(path)?;
    }
    // Small, so that it is easily typed again.
    let first = arguments
        .seed
        .unwrap_or_else(|| rand::random::<u32>().into());
    let mut bad = 0;
    for kind in kinds {
        for seed in first..first.saturating_add(arguments.variants) {
            match besiege(kind, seed, arguments.scale.max(1)).await {
                Ok(outcome) => writeln!(output, "{outcome}")?,
                Err(error) => {
                    bad += 1;
                    writeln!(
                        output,
                        "{:<20} seed {seed:<10} BROKEN: {error:#}",
                        kind.name
                    )?;
                }
            }
        }
    }
    Ok(ExitCode::from(u8::from(bad > 0)))
}
