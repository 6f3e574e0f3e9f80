//! A Redis server, which several nodes share.

use std::net::SocketAddr;
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
        let directory = tempfile::tempdir()?;
        let mut command = Command::new("redis-server");
        command.current_dir(directory.path());
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        let started = start(command, address, directory, |process| Ok(Some(process)));
        started.context("redis-server: apt-get install redis-server")
    }
}
