//! Starting the broker and the floor.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::Server;
use crate::floor::Batching;

/// What a server prints once it can be reached.
const LISTENING: &str = "listening on http://";

/// How to start the broker.
#[derive(Debug, Clone)]
pub struct BrokerCommand {
    /// The binary.
    pub path: PathBuf,
    /// How many workers; the broker's own choice without it.
    pub workers: Option<usize>,
    /// More arguments.
    pub arguments: Vec<String>,
}

impl Server {
    /// Starts the broker on a free port.
    ///
    /// # Errors
    /// When the binary is missing, or ends before it listens.
    pub fn broker(command: &BrokerCommand) -> Result<Self> {
        if !command.path.exists() {
            bail!(
                "there is no {}: build it with `cargo build --release`, or name another with --broker",
                command.path.display()
            );
        }
        let mut process = Command::new(command.path.canonicalize()?);
        // Away from any widecast.toml: the defaults are what is measured.
        process.current_dir("/");
        process.args(["serve", "--listen", "127.0.0.1:0"]);
        if let Some(workers) = command.workers {
            process.args(["--workers", &workers.to_string()]);
        }
        process.args(&command.arguments);
        Self::start(process)
    }

    /// Starts the broker with these settings; they, and everything in the directory, go with it.
    pub(super) fn broker_with(
        command: &BrokerCommand,
        settings: &str,
        directory: TempDir,
    ) -> Result<Self> {
        let file = directory.path().join("widecast.toml");
        fs::write(&file, settings)?;
        let mut command = command.clone();
        let file = file.to_str().context("a path of text")?.to_owned();
        command.arguments.extend(["--config".to_owned(), file]);
        let mut server = Self::broker(&command)?;
        server.files = Some(directory);
        Ok(server)
    }

    /// Starts the floor: this very binary in another process, so that the kernel accounts for it alone.
    ///
    /// # Errors
    /// When it ends before it listens.
    pub fn floor(batching: Batching) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?);
        process.arg("floor-server");
        if let Batching::UpTo(messages) = batching {
            process.args(["--batched", &messages.to_string()]);
        }
        Self::start(process)
    }

    fn start(mut command: Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let stderr = process.stderr.take().context("the server has no stderr")?;
        let mut lines = BufReader::new(stderr);
        match read_address(&mut lines) {
            Ok(address) => {
                // Keeps the pipe empty: a server that blocks on its log is not what is measured.
                thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                Ok(Self {
                    counted: process.id(),
                    process,
                    address,
                    end: Signal::KILL,
                    headers: String::new(),
                    files: None,
                })
            }
            Err(error) => {
                // It has ended, or it does not say where it listens: nothing to lose either way.
                let _ = process.kill();
                let _ = process.wait();
                Err(error.context(format!("starting {command:?}")))
            }
        }
    }
}

fn read_address(lines: &mut impl BufRead) -> Result<SocketAddr> {
    let mut log = String::new();
    loop {
        let start = log.len();
        if lines.by_ref().take(4096).read_line(&mut log)? == 0 {
            bail!(
                "the server ended, or closed its stderr, before it said where it listens:\n{log}"
            );
        }
        if let Some(address) = listening_address(&log[start..]) {
            return Ok(address);
        }
        if log.len() > 64 * 1024 {
            bail!("the server logs much, but not `{LISTENING}…`");
        }
    }
}

/// The address in a log line, whatever stands before it and after it.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(LISTENING)?;
    let end = rest
        .find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)))
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_any_log_line() {
        let line = "2026-01-01T00:00:00Z  INFO widecast: \u{1b}[3mlistening on http://127.0.0.1:4321\u{1b}[0m workers=1\n";
        assert_eq!(
            listening_address(line),
            Some(SocketAddr::from(([127, 0, 0, 1], 4321)))
        );
        assert!(listening_address("listening on http://[::1]:80").is_some());
        assert_eq!(listening_address("starting"), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        let mut log = &b"error: port in use\n"[..];
        let error = read_address(&mut log).unwrap_err().to_string();
        assert!(error.contains("port in use"), "{error}");
    }
}
