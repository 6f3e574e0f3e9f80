//! Real Sentinels that watch over a primary, as processes of their own.

use std::process::Stdio;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Child;

use crate::deadline::eventually;
use crate::redis::{RedisServer, ask, free_port, program, tls_options};
use crate::settings::Settings;
use crate::tls::TlsIdentity;

/// Sentinels of which two have to agree. They are killed when this is dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    _children: Vec<(Child, TempDir)>,
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
                "sentinel failover-timeout main 4000".to_owned(),
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
            _children: children,
            ports,
            tls_ports,
        };
        for &port in &sentinels.ports {
            // Before that there is no fail-over.
            eventually("a Sentinel knows the replicas and the others", async || {
                let state = ask(port, &["SENTINEL", "MASTER", "main"]).await;
                let state = state.unwrap_or_default();
                let is = |key: &str, value: String| {
                    let lines = state.lines().zip(state.lines().skip(1));
                    lines.into_iter().any(|pair| pair == (key, &*value))
                };
                Ok(is("num-slaves", replicas.to_string())
                    && is("num-other-sentinels", (count - 1).to_string()))
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

    /// Orders a fail-over.
    ///
    /// # Errors
    /// When the first of them does not answer.
    pub async fn fail_over(&self) -> Result<()> {
        ask(self.ports[0], &["SENTINEL", "FAILOVER", "main"]).await?;
        Ok(())
    }

    /// Where a broker finds its server: all of them.
    pub fn url(&self) -> String {
        let (scheme, ports) = if self.tls_ports.is_empty() {
            ("redis+sentinel", &self.ports)
        } else {
            ("rediss+sentinel", &self.tls_ports)
        };
        let places = ports.iter().map(|port| format!("127.0.0.1:{port}"));
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
