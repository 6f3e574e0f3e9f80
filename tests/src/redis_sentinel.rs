//! Real Sentinels that watch over a primary, as processes of their own.

use std::net::TcpListener;
use std::process::Stdio;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Child;

use crate::deadline::eventually;
use crate::redis::{RedisServer, ask, program};
use crate::settings::Settings;

/// Three Sentinels of which two have to agree. They are killed when this is dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    _children: Vec<(Child, TempDir)>,
    ports: Vec<u16>,
}

impl RedisSentinels {
    /// Starts Sentinels that call this server `main`, and waits until they know each other and its replicas.
    ///
    /// # Errors
    /// When they do not come up in time.
    pub async fn start(primary: &RedisServer, replicas: usize) -> Result<Self> {
        let (mut children, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let free = TcpListener::bind("127.0.0.1:0")?;
            let port = free.local_addr()?.port();
            drop(free);
            let directory = tempfile::tempdir()?;
            let file = directory.path().join("sentinel.conf");
            let lines = [
                format!("port {port}"),
                "bind 127.0.0.1".to_owned(),
                format!("sentinel monitor main 127.0.0.1 {} 2", primary.port()),
                "sentinel down-after-milliseconds main 1000".to_owned(),
                "sentinel failover-timeout main 4000".to_owned(),
            ];
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
                    && is("num-other-sentinels", "2".to_owned()))
            })
            .await?;
        }
        Ok(sentinels)
    }

    /// Settings of a broker that asks them where its server is.
    pub fn settings(&self) -> Settings {
        let places = self.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let places = places.collect::<Vec<_>>().join(",");
        Settings::new().key("engine.default.kind", "\"redis\"").key(
            "engine.default.url",
            format!("\"redis+sentinel://{places}/main\""),
        )
    }
}
