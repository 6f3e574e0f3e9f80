//! Real Sentinels that watch over a primary, as processes of their own.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Child;

use crate::deadline::eventually;
use crate::redis::{RedisServer, ask, free_port, program, tls_options};
use crate::settings::Settings;
use crate::test_engine::Remains;
use crate::tls::TlsIdentity;

/// After so long they give up a fail-over that comes to nothing.
const FAIL_OVER_TIMEOUT: Duration = Duration::from_secs(4);

/// Sentinels of which two have to agree. They are killed when this is dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    children: Vec<(Child, TempDir)>,
    ports: Vec<u16>,
    /// Where they speak TLS, if they do.
    tls_ports: Vec<u16>,
}

impl RedisSentinels {
    /// Starts three Sentinels that call this server `main`, and waits until they know each other and its replicas.
    ///
    /// # Errors
    /// When they do not come up in time.
    pub async fn start(primary: &RedisServer, replicas: usize) -> Result<Self> {
        Self::launch(primary, (3, replicas), None).await
    }

    /// Starts one Sentinel that speaks TLS, as its primary does: enough to be asked, not for a fail-over.
    ///
    /// # Errors
    /// When they do not come up in time.
    pub async fn start_with_tls(primary: &RedisServer, identity: &TlsIdentity) -> Result<Self> {
        Self::launch(primary, (1, 0), Some(identity)).await
    }

    async fn launch(
        primary: &RedisServer,
        (count, replicas): (usize, usize),
        identity: Option<&TlsIdentity>,
    ) -> Result<Self> {
        let (mut children, mut ports, mut tls_ports) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let port = free_port()?;
            let directory = tempfile::tempdir()?;
            let file = directory.path().join("sentinel.conf");
            let mut lines = vec![
                format!("port {port}"),
                "bind 127.0.0.1".to_owned(),
                format!("sentinel monitor main 127.0.0.1 {} 2", primary.port()),
                "sentinel down-after-milliseconds main 1000".to_owned(),
                format!(
                    "sentinel failover-timeout main {}",
                    FAIL_OVER_TIMEOUT.as_millis()
                ),
            ];
            if let Some(identity) = identity {
                let port = free_port()?;
                lines.push(format!("tls-port {port}"));
                let options = tls_options(identity);
                lines.extend(options.map(|(name, value)| format!("{name} {value}")));
                tls_ports.push(port);
            }
            std::fs::write(&file, lines.join("\n"))?;
            let child = program()
                .arg(&file)
                .arg("--sentinel")
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .context("redis-server has to be installed (on Debian the package redis-server)")?;
            children.push((child, directory));
            ports.push(port);
        }
        let sentinels = Self {
            children,
            ports,
            tls_ports,
        };
        for &port in &sentinels.ports {
            // Before that there is no fail-over.
            eventually("a Sentinel knows the replicas and the others", async || {
                let expected = [
                    ("num-slaves", &*replicas.to_string()),
                    ("num-other-sentinels", &*(count - 1).to_string()),
                ];
                Ok(says(port, &expected).await)
            })
            .await?;
        }
        Ok(sentinels)
    }

    /// The port of the server that they call the primary.
    ///
    /// # Errors
    /// When the first of them does not answer.
    pub async fn primary(&self) -> Result<u16> {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"];
        let answer = ask(self.ports[0], &words).await?;
        let port = answer.lines().nth(1).with_context(|| answer.clone())?;
        Ok(port.parse()?)
    }

    /// Waits until all of them call this server the primary, and no fail-over is on its way.
    async fn until_agreed(&self, primary: u16) -> Result<()> {
        for &port in &self.ports {
            eventually("the Sentinels agree", async || {
                let expected = [("port", &*primary.to_string()), ("flags", "master")];
                Ok(says(port, &expected).await)
            })
            .await?;
        }
        Ok(())
    }

    /// Orders a fail-over; gives whether one has begun. They refuse while another one is on its way, and while no replica is good enough.
    async fn fail_over(&self) -> Result<bool> {
        let answer = ask(self.ports[0], &["SENTINEL", "FAILOVER", "main"]).await?;
        Ok(answer == "OK")
    }

    /// Where a broker finds its server: all of them.
    pub fn url(&self) -> String {
        self.url_at(Ipv4Addr::LOCALHOST)
    }

    /// The same for a broker that comes by another host, at which something stands on the same ports.
    pub fn url_at(&self, host: Ipv4Addr) -> String {
        let (scheme, ports) = if self.tls_ports.is_empty() {
            ("redis+sentinel", &self.ports)
        } else {
            ("rediss+sentinel", &self.tls_ports)
        };
        let places = ports.iter().map(|port| format!("{host}:{port}"));
        let places = places.collect::<Vec<_>>().join(",");
        format!("{scheme}://{places}/main")
    }

    /// Settings of a broker that asks them where its server is.
    pub fn settings(&self) -> Settings {
        Settings::new()
            .key("engine.default.kind", "\"redis\"")
            .key("engine.default.url", format!("{:?}", self.url()))
    }
}

/// Whether a Sentinel says all of this of the primary.
async fn says(port: u16, expected: &[(&str, &str)]) -> bool {
    let state = ask(port, &["SENTINEL", "MASTER", "main"]).await;
    let state = state.unwrap_or_default();
    let lines: Vec<_> = state.lines().collect();
    let mut expected = expected.iter();
    expected.all(|&(key, value)| lines.chunks_exact(2).any(|pair| pair == [key, value]))
}

/// Three servers, of which Sentinels say which is the primary. They are killed when this is dropped.
#[derive(Debug)]
pub struct WatchedServers {
    /// The first of them is the primary at first, the others follow it.
    pub servers: Vec<RedisServer>,
    /// Who watches over them.
    pub sentinels: RedisSentinels,
}

impl WatchedServers {
    /// Starts them.
    ///
    /// # Errors
    /// When they do not come up in time.
    pub async fn start() -> Result<Self> {
        let primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await?;
        let port = primary.port().to_string();
        let mut servers = vec![primary];
        for _ in 0..2 {
            servers.push(RedisServer::start(&["--replicaof", "127.0.0.1", &port]).await?);
        }
        let sentinels = RedisSentinels::start(&servers[0], 2).await?;
        Ok(Self { servers, sentinels })
    }

    /// What remains when this is not dropped.
    pub(crate) fn remains(&self) -> Vec<Remains> {
        let servers = self.servers.iter().filter_map(RedisServer::remains);
        let sentinels = self.sentinels.children.iter();
        let sentinels =
            sentinels.filter_map(|(child, directory)| Remains::of(child, directory.path()));
        servers.chain(sentinels).collect()
    }

    /// Where they listen, and then the Sentinels.
    pub fn ports(&self) -> Vec<u16> {
        let ports = self.servers.iter().map(RedisServer::port);
        ports.chain(self.sentinels.ports.iter().copied()).collect()
    }

    /// The number of the primary, when a replica follows it that could take over.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn primary(&self) -> Result<usize> {
        let mut found = None;
        eventually("a primary with a replica", async || {
            let port = self.sentinels.primary().await?;
            found = self.servers.iter().position(|one| one.port() == port);
            let server = found.map(|number| &self.servers[number]);
            let server = server.context("an unknown primary")?;
            let info = server.ask(&["INFO", "replication"]).await;
            let info = info.unwrap_or_default();
            Ok(info.contains("role:master") && !info.contains("connected_slaves:0"))
        })
        .await?;
        found.context("no primary")
    }

    /// Waits until all Sentinels agree on the primary, and a replica follows it.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_agreed(&self) -> Result<()> {
        let primary = self.primary().await?;
        self.sentinels
            .until_agreed(self.servers[primary].port())
            .await
    }

    /// Waits until another server has taken over from this one.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_replaced(&self, primary: usize) -> Result<()> {
        let port = self.servers[primary].port();
        eventually("another server is the primary", async || {
            Ok(self.sentinels.primary().await? != port)
        })
        .await
    }

    /// Orders a fail-over, again and again until another server is the primary; gives how many have begun. One that was begun may come to
    /// nothing when the machine is busy, and one that is refused now may be possible soon.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn fail_over(&self) -> Result<usize> {
        let port = self.servers[self.primary().await?].port();
        let (mut begun, mut ordered) = (0, None::<Instant>);
        eventually("an ordered fail-over", async || {
            if self.sentinels.primary().await? != port {
                return Ok(true);
            }
            if ordered.is_none_or(|ordered| ordered.elapsed() > FAIL_OVER_TIMEOUT)
                && self.sentinels.fail_over().await?
            {
                begun += 1;
                ordered = Some(Instant::now());
            }
            Ok(false)
        })
        .await?;
        Ok(begun)
    }
}
