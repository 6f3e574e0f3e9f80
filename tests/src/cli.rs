//! The binary's command line, run to its end.

use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::deadline::within;
use crate::program;

/// What a run of the binary came to.
#[derive(Debug)]
pub struct Run {
    /// The exit status.
    pub status: i32,
    /// What it printed.
    pub output: String,
    /// What it said on standard error.
    pub errors: String,
}

/// Runs `widecast` with the arguments and an empty standard input.
///
/// # Errors
/// When it cannot be run, is killed, or does not end in time.
pub async fn run(arguments: &[&str]) -> Result<Run> {
    run_with_input(arguments, b"").await
}

/// Runs `widecast` with the arguments and the standard input.
///
/// # Errors
/// When it cannot be run, is killed, or does not end in time.
pub async fn run_with_input(arguments: &[&str], input: &[u8]) -> Result<Run> {
    let mut child = command(arguments).await?.stdin(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    // A program that does not read its input may be gone already.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let what = format!("the end of widecast {arguments:?}");
    let output = within(&what, async { Ok(child.wait_with_output().await?) }).await?;
    Ok(Run {
        status: output.status.code().context("killed by a signal")?,
        output: String::from_utf8(output.stdout)?,
        errors: String::from_utf8(output.stderr)?,
    })
}

/// The binary with the arguments, outputs piped, without the settings of the machine; it dies with its handle.
///
/// # Errors
/// When the binary cannot be built.
pub async fn command(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(program::binary().await?);
    let foreign = std::env::vars_os().map(|(name, _)| name);
    for name in foreign.filter(|name| name.to_string_lossy().starts_with("WIDECAST_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}
