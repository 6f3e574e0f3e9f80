//! A real Redis server as a process of its own, on a port of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::broker::Signal;
use crate::deadline::within;
use crate::settings::Settings;
use crate::test_engine::Remains;
use crate::tls::TlsIdentity;

/// Stands for the server's port in its options, and for another one.
const PORT: &str = "{port}";
pub(crate) const TLS_PORT: &str = "{tls-port}";

/// Nodes of a cluster speak to each other on a port that is higher by 10,000.
const HIGHEST_PORT: u16 = u16::MAX - 10_000;

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    tls_port: u16,
    options: Vec<String>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server that keeps everything in memory, with these options of its command line.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start(options: &[&str]) -> Result<Self> {
        let mut server = Self {
            child: None,
            port: 0,
            tls_port: 0,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            directory: tempfile::tempdir()?,
        };
        loop {
            (server.port, server.tls_port) = (free_port()?, free_port()?);
            // Somebody else may have taken the port meanwhile.
            if server.try_start().await? {
                return Ok(server);
            }
        }
    }

    /// Starts a server that speaks TLS alone.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start_with_tls(identity: &TlsIdentity) -> Result<Self> {
        Self::start_with_identity(&["--port", "0", "--tls-port", PORT], identity).await
    }

    pub(crate) async fn start_with_identity(
        options: &[&str],
        identity: &TlsIdentity,
    ) -> Result<Self> {
        let of_identity = tls_options(identity).map(|(name, value)| [format!("--{name}"), value]);
        let mut options = options.to_vec();
        options.extend(of_identity.iter().flatten().map(String::as_str));
        Self::start(&options).await
    }

    /// Ends the process at once; all that was only in its memory is lost.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts the process again, on the same port.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start_again(&mut self) -> Result<()> {
        while !self.try_start().await? {}
        Ok(())
    }

    async fn try_start(&mut self) -> Result<bool> {
        self.kill().await?;
        let port = self.port.to_string();
        let log = self.directory.path().join("log");
        let _ = std::fs::remove_file(&log);
        let child = program()
            .args(["--port", &port, "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir"])
            .arg(self.directory.path())
            .arg("--logfile")
            .arg(&log)
            .args(self.options.iter().map(|word| {
                let word = word.replace(PORT, &port);
                word.replace(TLS_PORT, &self.tls_port.to_string())
            }))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server has to be installed (on Debian the package redis-server)")?;
        let child = self.child.insert(child);
        within("the start of redis-server", async {
            loop {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                if text.contains("Ready to accept connections") {
                    return Ok(true);
                }
                if child.try_wait()?.is_some() {
                    return Ok(false);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Halts the process as it is, or lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.as_ref().and_then(Child::id);
        let id = id.context("redis-server has ended")?;
        let line = format!("kill -{} {id}", signal.name());
        let status = Command::new("sh").args(["-c", &line]).status().await?;
        if !status.success() {
            bail!("{line}: {status}");
        }
        Ok(())
    }

    /// Whether it has this key.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn has(&self, key: &str) -> Result<bool> {
        Ok(ask(self.port, &["EXISTS", key]).await? == "1")
    }

    /// What it answers.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn ask(&self, words: &[&str]) -> Result<String> {
        ask(self.port, words).await
    }

    /// What remains when this is not dropped.
    pub(crate) fn remains(&self) -> Option<Remains> {
        Remains::of(self.child.as_ref()?, self.directory.path())
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The other port, if its options name it.
    pub(crate) fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.url_at(Ipv4Addr::LOCALHOST)
    }

    /// Where a broker finds it that comes by another host, at which something stands on the same port.
    pub fn url_at(&self, host: Ipv4Addr) -> String {
        format!("redis://{host}:{}", self.port)
    }

    /// Settings of a broker that has its channels there.
    pub fn settings(&self) -> Settings {
        Settings::new()
            .key("engine.default.kind", "\"redis\"")
            .key("engine.default.url", format!("{:?}", self.url()))
    }
}

/// A port that was free a moment ago, and from which nodes of a cluster can count on.
pub(crate) fn free_port() -> Result<u16> {
    loop {
        let free = TcpListener::bind("127.0.0.1:0")?;
        let port = free.local_addr()?.port();
        if port <= HIGHEST_PORT {
            return Ok(port);
        }
    }
}

/// The settings of servers and Sentinels that speak TLS with everybody.
pub(crate) fn tls_options(identity: &TlsIdentity) -> [(&'static str, String); 5] {
    [
        ("tls-cert-file", identity.certificate()),
        ("tls-key-file", identity.key()),
        ("tls-ca-cert-file", identity.authority()),
        ("tls-auth-clients", "no".to_owned()),
        ("tls-replication", "yes".to_owned()),
    ]
}

/// The program that is run: another release, or Valkey, if `REDIS_SERVER` in the environment names it.
pub(crate) fn program() -> Command {
    Command::new(std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into()))
}

/// What a server on this port answers.
///
/// # Errors
/// When it does not.
pub(crate) async fn ask(port: u16, words: &[&str]) -> Result<String> {
    let mut cli = Command::new("redis-cli");
    let cli = cli.args(["-p", &port.to_string()]).args(words);
    let answer = cli.output().await;
    let answer =
        answer.context("redis-cli has to be installed (on Debian the package redis-tools)")?;
    if !answer.status.success() {
        bail!("redis-cli {words:?}: {}", answer.status);
    }
    Ok(String::from_utf8(answer.stdout)?.trim().to_owned())
}
