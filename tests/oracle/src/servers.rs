//! The Redis servers that the brokers of a run share.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::time::sleep;
use widecast_tests::broker::Signal;
use widecast_tests::{RedisCluster, RedisSentinels, RedisServer, eventually};

use crate::scope::EngineKind;
use crate::trouble::Trouble;

/// A channel that is there in every run.
pub const ALWAYS: &str = "plain:always";

/// The servers. They are killed when this is dropped.
pub enum Servers {
    /// One.
    Alone(RedisServer),
    /// A primary with two replicas, and Sentinels.
    Watched(Watched),
    /// A cluster.
    Cluster(RedisCluster),
}

/// Servers of which Sentinels say which is the primary.
pub struct Watched {
    servers: Vec<RedisServer>,
    sentinels: RedisSentinels,
}

impl Servers {
    /// Starts what the engine needs, if it needs any.
    ///
    /// # Errors
    /// When they do not come up in time.
    pub async fn start(engine: EngineKind) -> Result<Option<Self>> {
        Ok(match engine {
            EngineKind::Memory | EngineKind::Disk => None,
            EngineKind::Redis => Some(Self::Alone(RedisServer::start(&[]).await?)),
            EngineKind::Sentinel => Some(Self::Watched(Watched::start().await?)),
            EngineKind::Cluster => Some(Self::Cluster(RedisCluster::start().await?)),
        })
    }

    /// Where a broker finds them.
    pub fn url(&self) -> String {
        match self {
            Self::Alone(server) => server.url(),
            Self::Watched(watched) => watched.sentinels.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// Where the only one is. Others say themselves where they are, so nothing can stand before them.
    pub fn place(&self) -> Option<SocketAddr> {
        match self {
            Self::Alone(server) => Some(SocketAddr::from(([127, 0, 0, 1], server.port()))),
            Self::Watched(_) | Self::Cluster(_) => None,
        }
    }

    /// Waits until all that is to be there is there, after whatever has happened.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_whole(&self) -> Result<()> {
        match self {
            Self::Alone(_) => Ok(()),
            Self::Watched(watched) => watched.primary().await.map(drop),
            Self::Cluster(cluster) => cluster.until_whole().await,
        }
    }

    /// Lets something happen to one of them; gives how often the messages of a channel can have been lost by it.
    ///
    /// # Errors
    /// When they do not come back.
    pub async fn suffer(&mut self, number: usize, trouble: Trouble) -> Result<usize> {
        match self {
            Self::Alone(server) => alone(server, trouble).await,
            Self::Watched(watched) => watched.suffer(trouble).await,
            Self::Cluster(cluster) => in_cluster(cluster, number, trouble).await,
        }
    }
}

async fn alone(server: &mut RedisServer, trouble: Trouble) -> Result<usize> {
    match trouble {
        Trouble::Halt(pause) => {
            server.signal(Signal::Stop).await?;
            sleep(pause).await;
            server.signal(Signal::Continue).await?;
            Ok(0)
        }
        Trouble::Kill(pause) => {
            server.kill().await?;
            sleep(pause).await;
            server.start_again().await?;
            Ok(1)
        }
        Trouble::Terminate | Trouble::Replace | Trouble::FailOver | Trouble::Move(_) => Ok(0),
    }
}

impl Watched {
    async fn start() -> Result<Self> {
        let primary = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await?;
        let port = primary.port().to_string();
        let mut servers = vec![primary];
        for _ in 0..2 {
            servers.push(RedisServer::start(&["--replicaof", "127.0.0.1", &port]).await?);
        }
        let sentinels = RedisSentinels::start(&servers[0], 2).await?;
        Ok(Self { servers, sentinels })
    }

    /// The number of the primary, when a replica follows it that could take over.
    async fn primary(&self) -> Result<usize> {
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

    async fn until_replaced(&self, primary: usize) -> Result<()> {
        let port = self.servers[primary].port();
        eventually("another server is the primary", async || {
            Ok(self.sentinels.primary().await? != port)
        })
        .await
    }

    /// A replica that takes over and a primary that comes back are a loss each.
    async fn suffer(&mut self, trouble: Trouble) -> Result<usize> {
        let primary = self.primary().await?;
        let server = &mut self.servers[primary];
        match trouble {
            Trouble::Halt(pause) => {
                server.signal(Signal::Stop).await?;
                sleep(pause).await;
                server.signal(Signal::Continue).await?;
            }
            Trouble::Kill(pause) => {
                server.kill().await?;
                sleep(pause).await;
                server.start_again().await?;
            }
            Trouble::Replace => {
                server.kill().await?;
                self.until_replaced(primary).await?;
                self.servers[primary].start_again().await?;
            }
            Trouble::FailOver => {
                self.sentinels.fail_over().await?;
                self.until_replaced(primary).await?;
            }
            Trouble::Terminate | Trouble::Move(_) => return Ok(0),
        }
        Ok(2)
    }
}

async fn in_cluster(cluster: &mut RedisCluster, pair: usize, trouble: Trouble) -> Result<usize> {
    cluster.until_whole().await?;
    match trouble {
        Trouble::Halt(pause) => {
            let node = cluster.halt(pair).await?;
            sleep(pause).await;
            cluster.go_on(node).await?;
        }
        Trouble::Kill(pause) => {
            let node = cluster.kill(pair).await?;
            sleep(pause).await;
            cluster.start_again(node).await?;
        }
        Trouble::Replace => {
            let node = cluster.kill(pair).await?;
            cluster.until_replaced(node).await?;
            cluster.start_again(node).await?;
        }
        Trouble::FailOver => cluster.fail_over(pair).await?,
        Trouble::Move(further) => {
            let (pair, slot) = place_of_always(cluster).await?;
            let to = (pair + further) % RedisCluster::PAIRS;
            cluster.move_slot(slot, pair, to).await?;
        }
        Trouble::Terminate => return Ok(0),
    }
    Ok(1)
}

/// Where the channel is that is there in every run, once somebody has published there.
async fn place_of_always(cluster: &RedisCluster) -> Result<(usize, usize)> {
    let mut found = None;
    eventually("the channel is there", async || {
        found = cluster.place_of(ALWAYS).await.ok();
        Ok(found.is_some())
    })
    .await?;
    found.context("no place")
}
