//! The Redis servers that the brokers of a run share.
//!
//! Each broker has a host of its own (`127.0.0.2` and the next ones), at which a proxy stands before each server and each Sentinel, on its own
//! port. So no server has to announce another place, which it could announce to all brokers alone: each proxy puts its host into what
//! Sentinels and nodes of a cluster say. Servers and Sentinels reach each other directly: what the network does to replication would
//! decide which of them takes over, and that is the plan's.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use tokio::time::sleep;
use widecast_tests::broker::Signal;
use widecast_tests::{RedisCluster, RedisServer, WatchedServers, eventually};

use crate::scope::EngineKind;
use crate::trouble::{Evicted, Trouble};

/// A channel that is there in every run.
pub const ALWAYS: &str = "plain:always";

/// The servers. They are killed when this is dropped.
pub enum Servers {
    /// One, or several that know nothing of each other.
    Apart(Vec<RedisServer>),
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
            EngineKind::Redis | EngineKind::Several => {
                let mut servers = Vec::new();
                for _ in 0..engine.servers() {
                    servers.push(RedisServer::start(&[]).await?);
                }
                Some(Self::Apart(servers))
            }
            EngineKind::Sentinel => Some(Self::Watched(WatchedServers::start().await?)),
            EngineKind::Cluster => Some(Self::Cluster(RedisCluster::start().await?)),
        })
    }

    /// The setting that says where a broker finds them that comes by this host, and its value.
    pub fn setting_at(&self, host: Ipv4Addr) -> (&'static str, String) {
        let url = match self {
            Self::Apart(servers) => match &**servers {
                [server] => server.url_at(host),
                servers => {
                    // Their addresses differ from broker to broker, and they have to be the same for all.
                    let numbered = servers.iter().enumerate();
                    let urls: Vec<_> = numbered
                        .map(|(number, server)| format!("{}?name=s{number}", server.url_at(host)))
                        .collect();
                    return ("engine.default.urls", format!("{urls:?}"));
                }
            },
            Self::Watched(watched) => watched.sentinels.url_at(host),
            Self::Cluster(cluster) => cluster.url_at(host),
        };
        ("engine.default.url", format!("{url:?}"))
    }

    /// Where they listen, and their Sentinels: [`EngineKind::servers`] many.
    pub fn ports(&self) -> Vec<u16> {
        match self {
            Self::Apart(servers) => servers.iter().map(RedisServer::port).collect(),
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
            Self::Apart(_) => Ok(()),
            Self::Watched(watched) => watched.until_agreed().await,
            Self::Cluster(cluster) => cluster.until_whole().await,
        }
    }

    /// Lets something happen to one of them, which may concern one of these channels; gives how often the messages of a channel can have
    /// been lost by it.
    ///
    /// # Errors
    /// When they do not come back.
    pub async fn suffer(
        &mut self,
        number: usize,
        trouble: Trouble,
        channels: &[String],
    ) -> Result<usize> {
        match self {
            Self::Apart(servers) => match trouble {
                Trouble::Evict(channel, evicted) => {
                    evict(servers, &channels[channel], evicted).await
                }
                trouble => apart(&mut servers[number], trouble).await,
            },
            Self::Watched(servers) => watched(servers, trouble).await,
            Self::Cluster(cluster) => in_cluster(cluster, number, trouble).await,
        }
    }
}

/// Deletes what a server with another `maxmemory-policy` would evict; only one of them has it.
async fn evict(servers: &[RedisServer], channel: &str, evicted: Evicted) -> Result<usize> {
    let kind = match evicted {
        Evicted::State => "s",
        Evicted::History => "h",
    };
    let key = format!("widecast:{kind}:{{{channel}}}");
    for server in servers {
        server.ask(&["DEL", &key]).await?;
    }
    Ok(usize::from(evicted == Evicted::State))
}

async fn apart(server: &mut RedisServer, trouble: Trouble) -> Result<usize> {
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
        Trouble::Flush => {
            server.ask(&["FLUSHALL"]).await?;
            Ok(1)
        }
        Trouble::Fill => set_memory(server, "1").await,
        Trouble::Drain => set_memory(server, "0").await,
        _ => Ok(0),
    }
}

/// How many bytes it may use; 0 for as many as it wants.
async fn set_memory(server: &RedisServer, bytes: &str) -> Result<usize> {
    server.ask(&["CONFIG", "SET", "maxmemory", bytes]).await?;
    Ok(0)
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
        _ => return Ok(0),
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
        _ => return Ok(0),
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
