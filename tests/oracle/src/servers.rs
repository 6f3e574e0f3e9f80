//! The Redis servers that the brokers of a run share.
//!
//! Each broker has a host of its own (`127.0.0.2`, `127.0.0.3`), at which a proxy stands before each server and each Sentinel, on its own
//! port. So no server has to announce another place, which it could announce to all brokers alone: each proxy puts its host into what
//! Sentinels and nodes of a cluster say. Servers and Sentinels reach each other directly: what the network does to replication would
//! decide which of them takes over, and that is the plan's.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use tokio::time::sleep;
use widecast_tests::broker::Signal;
use widecast_tests::{RedisCluster, RedisServer, WatchedServers, eventually};

use crate::scope::EngineKind;
use crate::trouble::Trouble;

/// A channel that is there in every run.
pub const ALWAYS: &str = "plain:always";

/// The servers. They are killed when this is dropped.
pub enum Servers {
    /// One.
    Alone(RedisServer),
    /// A primary with two replicas, and Sentinels.
    Watched(WatchedServers),
    /// A cluster.
    Cluster(RedisCluster),
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
            EngineKind::Sentinel => Some(Self::Watched(WatchedServers::start().await?)),
            EngineKind::Cluster => Some(Self::Cluster(RedisCluster::start().await?)),
        })
    }

    /// Where a broker finds them that comes by this host.
    pub fn url_at(&self, host: Ipv4Addr) -> String {
        match self {
            Self::Alone(server) => server.url_at(host),
            Self::Watched(watched) => watched.sentinels.url_at(host),
            Self::Cluster(cluster) => cluster.url_at(host),
        }
    }

    /// Where they listen, and their Sentinels: [`EngineKind::servers`] many.
    pub fn ports(&self) -> Vec<u16> {
        match self {
            Self::Alone(server) => vec![server.port()],
            Self::Watched(watched) => watched.ports(),
            Self::Cluster(cluster) => cluster.ports(),
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
            Self::Watched(servers) => watched(servers, trouble).await,
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

/// A replica that takes over and a primary that comes back are a loss each.
async fn watched(watched: &mut WatchedServers, trouble: Trouble) -> Result<usize> {
    let primary = watched.primary().await?;
    let server = &mut watched.servers[primary];
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
            watched.until_replaced(primary).await?;
            watched.servers[primary].start_again().await?;
        }
        Trouble::FailOver => return Ok(1 + watched.fail_over().await?),
        Trouble::Terminate | Trouble::Move(_) => return Ok(0),
    }
    Ok(2)
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
