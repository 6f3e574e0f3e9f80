//! A Redis server, which several nodes share.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::foreign::{free_address, start};
use super::process::Server;

impl Server {
    /// Starts `redis-server` without persistence on a free port.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn redis() -> Result<Self> {
        Self::redis_at(free_address()?)
    }

    /// The same at this address, where another one was before.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn redis_at(address: SocketAddr) -> Result<Self> {
        Self::redis_with(address, &["--appendonly", "no"])
    }

    /// Starts one at this address that has what it has acknowledged in this directory.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn redis_in(address: SocketAddr, data: &Path) -> Result<Self> {
        let data = data.to_str().context("a path of text")?;
        Self::redis_with(
            address,
            &[
                "--dir",
                data,
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ],
        )
    }

    fn redis_with(address: SocketAddr, options: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new("redis-server");
        command.current_dir(directory.path());
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", ""]).args(options);
        let started = start(command, address, directory, |process| Ok(Some(process)));
        started.context("redis-server: apt-get install redis-server")
    }
}
