//! The engine of brokers whose settings name none, as `TEST_ENGINE` in the environment says: `memory`, `disk`, `redis`, `sentinel` or
//! `cluster`.
//!
//! All brokers of a test program share its Redis servers, since a cluster takes long to start, and each has a key prefix of its own, so
//! that they do not hear each other.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::redis::RedisServer;
use crate::redis_cluster::RedisCluster;
use crate::redis_sentinel::WatchedServers;
use crate::settings::Settings;

static SERVERS: OnceCell<Servers> = OnceCell::const_new();
static BROKERS: AtomicU64 = AtomicU64::new(0);

/// The settings of one more broker.
///
/// # Errors
/// When the engine is unknown, or its servers do not come up in time.
pub(crate) async fn settings() -> Result<Settings> {
    let engine = std::env::var("TEST_ENGINE").unwrap_or_default();
    Ok(match &*engine {
        "" | "memory" => Settings::new(),
        "disk" => Settings::new().disk(),
        "redis" | "sentinel" | "cluster" => {
            let servers = SERVERS.get_or_try_init(|| Servers::start(&engine)).await?;
            let number = BROKERS.fetch_add(1, Ordering::Relaxed);
            let prefix = format!("\"test-{number}\"");
            servers
                .settings
                .clone()
                .key("engine.default.key_prefix", prefix)
        }
        other => {
            bail!("TEST_ENGINE is {other:?}: expected memory, disk, redis, sentinel or cluster")
        }
    })
}

struct Servers {
    settings: Settings,
    _kept: Kept,
    _guardian: Child,
}

#[expect(dead_code, reason = "what is dropped is killed")]
enum Kept {
    Alone(RedisServer),
    Watched(WatchedServers),
    Cluster(RedisCluster),
}

/// A process, and the directory that is of no use without it.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) process: u32,
    pub(crate) directory: PathBuf,
}

impl Remains {
    /// Those of a process, unless it has ended.
    pub(crate) fn of(child: &Child, directory: &Path) -> Option<Self> {
        let directory = directory.to_owned();
        child.id().map(|process| Self { process, directory })
    }
}

impl Servers {
    async fn start(engine: &str) -> Result<Self> {
        let (settings, remains, kept) = match engine {
            "redis" => {
                let server = RedisServer::start(&[]).await?;
                let remains = server.remains().into_iter().collect();
                (server.settings(), remains, Kept::Alone(server))
            }
            "sentinel" => {
                let servers = WatchedServers::start().await?;
                let settings = servers.sentinels.settings();
                (settings, servers.remains(), Kept::Watched(servers))
            }
            _ => {
                let cluster = RedisCluster::start().await?;
                (
                    cluster.settings(),
                    cluster.remains(),
                    Kept::Cluster(cluster),
                )
            }
        };
        Ok(Self {
            settings,
            _kept: kept,
            _guardian: clean_up_at_the_end(&remains)?,
        })
    }
}

/// Starts a process that reads until this one has ended, and then ends the others and deletes their directories: what is kept until the
/// end is never dropped.
fn clean_up_at_the_end(all: &[Remains]) -> Result<Child> {
    let processes = all.iter().map(|one| one.process.to_string());
    let processes = processes.collect::<Vec<_>>().join(" ");
    let script = format!("cat > /dev/null; kill -9 {processes}; rm -rf \"$@\"");
    let guardian = Command::new("sh")
        .args(["-c", &script, "sh"])
        .args(all.iter().map(|one| &one.directory))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(guardian)
}
