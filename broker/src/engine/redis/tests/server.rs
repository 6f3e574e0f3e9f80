//! Real servers for the tests.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::node::until;

/// A server on a free port, which ends with this.
pub(super) struct RedisServer {
    child: Option<Child>,
    pub(super) port: u16,
    directory: TempDir,
    options: Vec<String>,
}

/// The program that is run: another release, or Valkey, if `REDIS_SERVER` in the environment names it.
pub(super) fn program() -> Command {
    Command::new(std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into()))
}

/// A port that was free a moment ago. Nodes of a cluster speak to each other on one that is higher by 10,000.
pub(super) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port <= u16::MAX - 10_000 {
            return port;
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl RedisServer {
    pub(super) async fn start(options: &[&str]) -> Self {
        let mut server = Self {
            child: None,
            port: 0,
            directory: tempfile::tempdir().unwrap(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        loop {
            server.port = free_port();
            // Another test may have taken the port meanwhile.
            if server.is_started().await {
                return server;
            }
        }
    }

    /// Starts the process, on the same port and with the files of the one before.
    pub(super) async fn start_again(&mut self) {
        until("the port to be free", async || self.is_started().await).await;
    }

    async fn is_started(&mut self) -> bool {
        self.kill();
        let log = self.directory.path().join("log");
        let _ = std::fs::remove_file(&log);
        let child = program()
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir"])
            .arg(self.directory.path())
            .arg("--logfile")
            .arg(&log)
            .args(&self.options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server has to be installed (on Debian the package redis-server)");
        let child = self.child.insert(child);
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("Ready to accept connections") {
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the process at once: what is only in its memory is lost.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal to the process.
    pub(super) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Asks the server something.
    pub(super) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap()
    }

    /// The same of a server that may cut the connection.
    pub(super) async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        try_ask(&self.url(), words).await
    }
}

/// Asks the server at this place something.
pub(super) async fn try_ask<T: FromRedisValue>(
    url: &str,
    words: &[impl redis::ToRedisArgs],
) -> RedisResult<T> {
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut connection).await
}
