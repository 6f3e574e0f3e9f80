//! The `widecast-oracle` binary: arguments, then runs, then the verdict.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use widecast_oracle::args::Arguments;
use widecast_oracle::campaign::campaign;
use widecast_tests::program::use_binary;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (scope, logs) = (arguments.scope(), arguments.logs());
    if let Some(path) = arguments.broker {
        use_binary(path)?;
    }
    // Small, so that it is easily typed again.
    let first = arguments
        .seed
        .unwrap_or_else(|| rand::random::<u32>().into());
    let seeds = first..first.saturating_add(arguments.runs);
    let bad = campaign(seeds, &scope, &logs).await?;
    writeln!(
        io::stdout(),
        "{bad} of {} runs had violations",
        arguments.runs
    )?;
    Ok(ExitCode::from(u8::from(bad > 0)))
}
