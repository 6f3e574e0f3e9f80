//! The broker with engines other than memory, and Centrifugo with Redis and the same history.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::foreign::{free_address, start};
use super::process::Server;
use super::start::BrokerCommand;

/// Nothing here is secret.
const API_KEY: &str = "bench";

/// What becomes of messages that have been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// They are kept for those who resume, as the broker does by default.
    History,
    /// They are not.
    Nothing,
}

/// The broker's default history.
const HISTORY_MESSAGES: u32 = 16_384;
const HISTORY_SECONDS: u32 = 300;

impl Server {
    /// Starts the broker as a node on this Redis server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn node(command: &BrokerCommand, redis: SocketAddr, keeping: Keeping) -> Result<Self> {
        Self::node_with(command, redis, keeping, "")
    }

    /// Starts the broker as a node on this Redis server, which never loses what it has acknowledged.
    ///
    /// # Errors
    /// When it does not start.
    pub fn trusting_node(command: &BrokerCommand, redis: SocketAddr) -> Result<Self> {
        Self::node_with(
            command,
            redis,
            Keeping::History,
            ", trust_persistence = true",
        )
    }

    fn node_with(
        command: &BrokerCommand,
        redis: SocketAddr,
        keeping: Keeping,
        options: &str,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let is_ephemeral = keeping == Keeping::Nothing;
        let settings = format!(
            "engine.default = {{ kind = \"redis\", url = \"redis://{redis}\"{options} }}\n\
             namespace.default.ephemeral = {is_ephemeral}\n"
        );
        Self::broker_with(command, &settings, directory)
    }

    /// Starts the broker with the disk engine: `process` or `power` is what a message survives.
    ///
    /// # Errors
    /// When it does not start.
    pub fn on_disk(command: &BrokerCommand, durability: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("data");
        let settings = format!(
            "engine.default = {{ kind = \"disk\", path = '{}', durability = \"{durability}\" }}\n",
            path.display()
        );
        Self::broker_with(command, &settings, directory)
    }

    /// Starts Centrifugo as a node on this Redis server, with the broker's history and its promise: subscribers resume, and are told when they cannot.
    ///
    /// # Errors
    /// When it does not start.
    pub fn centrifugo(program: &Path, redis: SocketAddr, keeping: Keeping) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let address = free_address()?;
        let mut channel =
            json!({ "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true });
        if keeping == Keeping::History {
            channel["history_size"] = HISTORY_MESSAGES.into();
            channel["history_ttl"] = format!("{HISTORY_SECONDS}s").into();
            channel["force_positioning"] = true.into();
            channel["force_recovery"] = true.into();
        }
        let settings = json!({
            "http_server": { "address": "127.0.0.1", "port": address.port().to_string() },
            "http_api": { "key": API_KEY },
            "client": { "insecure": true, "allowed_origins": ["*"] },
            "channel": { "without_namespace": channel },
            "engine": { "type": "redis", "redis": { "address": format!("redis://{redis}") } },
            "log": { "level": "error" },
        });
        let file = directory.path().join("config.json");
        fs::write(&file, settings.to_string())?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&file);
        let mut server = start(command, address, directory, |process| Ok(Some(process)))
            .with_context(|| program.display().to_string())?;
        server.headers = format!("X-API-Key: {API_KEY}\r\n");
        Ok(server)
    }
}
