//! A real cluster of Redis servers, as processes of their own.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::broker::Signal;
use crate::deadline::eventually;
use crate::redis::{RedisServer, TLS_PORT};
use crate::settings::Settings;
use crate::test_engine::Remains;
use crate::tls::TlsIdentity;

const OPTIONS: [&str; 12] = [
    "--cluster-enabled",
    "yes",
    // After so long without an answer a node counts as failing.
    "--cluster-node-timeout",
    "3000",
    // A primary that fails concerns its own slots alone.
    "--cluster-require-full-coverage",
    "no",
    "--cluster-allow-replica-migration",
    "no",
    "--cluster-replica-validity-factor",
    "0",
    "--repl-diskless-sync-delay",
    "0",
];

/// After so long a replica gives up a fail-over that was ordered and comes to nothing.
const FAIL_OVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Three pairs of a primary and its replica, each with an equal share of the slots. A pair has the numbers of its nodes: its own, at
/// first the primary's, and its own and three. They are killed when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    speaks_tls: bool,
}

/// How many primaries there are, and as many replicas.
const PAIRS: usize = 3;

impl RedisCluster {
    /// How many primaries there are, each with a replica.
    pub const PAIRS: usize = PAIRS;

    /// Starts one, and waits until each node knows all others.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start() -> Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..2 * PAIRS {
            nodes.push(RedisServer::start(&OPTIONS).await?);
        }
        Self::of(nodes, false).await
    }

    /// Starts one that speaks TLS with brokers and among itself.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start_with_tls(identity: &TlsIdentity) -> Result<Self> {
        let options = [
            &OPTIONS[..],
            &["--tls-cluster", "yes", "--tls-port", TLS_PORT],
        ]
        .concat();
        let mut nodes = Vec::new();
        for _ in 0..2 * PAIRS {
            nodes.push(RedisServer::start_with_identity(&options, identity).await?);
        }
        Self::of(nodes, true).await
    }

    async fn of(nodes: Vec<RedisServer>, speaks_tls: bool) -> Result<Self> {
        let cluster = Self { nodes, speaks_tls };
        let shares = ["0 5460", "5461 10922", "10923 16383"];
        for (number, node) in cluster.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?;
            let port = cluster.port(0).to_string();
            node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port]).await?;
            if let Some(share) = shares.get(number) {
                let words = format!("CLUSTER ADDSLOTSRANGE {share}");
                let words: Vec<_> = words.split(' ').collect();
                node.ask(&words).await?;
            }
        }
        cluster
            .until_all_say("know each other", "cluster_known_nodes:6")
            .await?;
        for number in 0..PAIRS {
            let id = cluster.id(number).await?;
            let replica = &cluster.nodes[PAIRS + number];
            replica.ask(&["CLUSTER", "REPLICATE", &id]).await?;
        }
        cluster.until_whole().await?;
        Ok(cluster)
    }

    /// Waits until all nodes are there and agree, and each pair is a primary with a replica that follows.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_whole(&self) -> Result<()> {
        self.until_all_say("are ready", "cluster_state:ok").await?;
        for pair in 0..PAIRS {
            eventually("the replicas follow", async || {
                let Ok((primary, replica)) = self.pair(pair).await else {
                    return Ok(false);
                };
                let primary = primary.ask(&["INFO", "replication"]).await?;
                let replica = replica.ask(&["INFO", "replication"]).await?;
                Ok(primary.contains("connected_slaves:1")
                    && replica.contains("master_link_status:up"))
            })
            .await?;
        }
        self.until_agreed().await
    }

    async fn until_all_say(&self, what: &str, line: &str) -> Result<()> {
        for node in &self.nodes {
            eventually(&format!("the nodes {what}"), async || {
                let info = node.ask(&["CLUSTER", "INFO"]).await?;
                Ok(info.lines().any(|found| found.trim() == line))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until all nodes say the same of who has which slots, and know the replicas.
    async fn until_agreed(&self) -> Result<()> {
        eventually("the nodes agree", async || {
            let mut seen = Vec::new();
            for node in &self.nodes {
                seen.push(Self::shares(node).await?);
            }
            let replicas = |shares: &String| shares.matches("slave").count() == PAIRS;
            Ok(seen.iter().all(|one| *one == seen[0]) && replicas(&seen[0]))
        })
        .await
    }

    /// Who is a primary and has which slots, or is a replica, as a node sees it.
    async fn shares(node: &RedisServer) -> Result<String> {
        let nodes = node.ask(&["CLUSTER", "NODES"]).await?;
        // The id, where it is, what it is, five words that differ, and its slots.
        let shares = nodes.lines().map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let kind = words.get(2).copied().unwrap_or_default();
            let kind = kind.trim_start_matches("myself,");
            let slots = words.get(8..).unwrap_or_default().join(" ");
            format!("{} {kind} {slots}\n", words[0])
        });
        let mut shares: Vec<_> = shares.collect();
        shares.sort_unstable();
        Ok(shares.concat())
    }

    async fn id(&self, node: usize) -> Result<String> {
        self.nodes[node].ask(&["CLUSTER", "MYID"]).await
    }

    /// The number of the node that is the primary of a pair now.
    async fn primary(&self, pair: usize) -> Result<usize> {
        let mut latest = None;
        for node in [pair, PAIRS + pair] {
            // One that was killed does not answer. One that was the primary may believe for a moment that it still is.
            let Ok(role) = self.nodes[node].ask(&["ROLE"]).await else {
                continue;
            };
            if role.starts_with("master") {
                latest = latest.max(Some((self.epoch(node).await?, node)));
            }
        }
        match latest {
            Some((_, node)) => Ok(node),
            None => bail!("the pair {pair} has no primary"),
        }
    }

    async fn epoch(&self, node: usize) -> Result<u64> {
        let info = self.nodes[node].ask(&["CLUSTER", "INFO"]).await?;
        let mut lines = info.lines();
        let epoch = lines.find_map(|line| line.strip_prefix("cluster_my_epoch:"));
        Ok(epoch.unwrap_or_default().trim().parse()?)
    }

    /// The primary of a pair, and its replica.
    async fn pair(&self, pair: usize) -> Result<(&RedisServer, &RedisServer)> {
        let primary = self.primary(pair).await?;
        let replica = 2 * pair + PAIRS - primary;
        Ok((&self.nodes[primary], &self.nodes[replica]))
    }

    /// The number of the pair that has a channel, and the slot in which it has it.
    ///
    /// # Errors
    /// When none has it.
    pub async fn place_of(&self, channel: &str) -> Result<(usize, usize)> {
        let pattern = format!("widecast:*:s:{{{channel}}}");
        for pair in 0..PAIRS {
            let node = &self.nodes[self.primary(pair).await?];
            let key = node.ask(&["KEYS", &pattern]).await?;
            if !key.is_empty() {
                let slot = node.ask(&["CLUSTER", "KEYSLOT", &key]).await?;
                return Ok((pair, slot.parse()?));
            }
        }
        bail!("no primary has {pattern}")
    }

    /// Ends the primary of a pair at once; gives its number.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self, pair: usize) -> Result<usize> {
        let node = self.primary(pair).await?;
        self.nodes[node].kill().await?;
        Ok(node)
    }

    /// Starts a node that was killed, without its memory.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start_again(&mut self, node: usize) -> Result<()> {
        self.nodes[node].start_again().await
    }

    /// Halts the primary of a pair; gives its number.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn halt(&self, pair: usize) -> Result<usize> {
        let node = self.primary(pair).await?;
        self.nodes[node].signal(Signal::Stop).await?;
        Ok(node)
    }

    /// Halts the replica of a pair; gives its number.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn halt_replica(&self, pair: usize) -> Result<usize> {
        let node = 2 * pair + PAIRS - self.primary(pair).await?;
        self.nodes[node].signal(Signal::Stop).await?;
        Ok(node)
    }

    /// Lets a node that was halted go on.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn go_on(&self, node: usize) -> Result<()> {
        self.nodes[node].signal(Signal::Continue).await
    }

    /// Waits until the other node of a pair has taken over from this one.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_replaced(&self, node: usize) -> Result<()> {
        let other = &self.nodes[(node + PAIRS) % (2 * PAIRS)];
        eventually("the replica has taken over", async || {
            Ok(other.ask(&["ROLE"]).await?.starts_with("master"))
        })
        .await
    }

    /// Orders the replica of a pair to take over from its primary, and waits until it has.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn fail_over(&self, pair: usize) -> Result<()> {
        self.until_agreed().await?;
        let (_, replica) = self.pair(pair).await?;
        let mut ordered = None::<Instant>;
        eventually("an ordered fail-over", async || {
            if replica.ask(&["ROLE"]).await?.starts_with("master") {
                return Ok(true);
            }
            // It may come to nothing when the machine is busy.
            if ordered.is_none_or(|ordered| ordered.elapsed() > FAIL_OVER_TIMEOUT) {
                let answer = replica.ask(&["CLUSTER", "FAILOVER"]).await?;
                ordered = (answer == "OK").then(Instant::now);
            }
            Ok(false)
        })
        .await
    }

    /// Moves a slot with all its keys from one pair to another, as `redis-cli --cluster reshard` does.
    ///
    /// # Errors
    /// When that fails.
    pub async fn move_slot(&self, slot: usize, from: usize, to: usize) -> Result<()> {
        let (from, to) = (self.primary(from).await?, self.primary(to).await?);
        let (from_id, to_id) = (self.id(from).await?, self.id(to).await?);
        self.set_slot(to, slot, &["IMPORTING", &from_id]).await?;
        self.set_slot(from, slot, &["MIGRATING", &to_id]).await?;
        let (slot_name, port) = (slot.to_string(), self.port(to).to_string());
        eventually("all keys of the slot move", async || {
            let source = &self.nodes[from];
            let words = ["CLUSTER", "GETKEYSINSLOT", &slot_name, "100"];
            let keys = source.ask(&words).await?;
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "10000", "KEYS"];
            words.extend(keys.lines());
            if !keys.is_empty() {
                // One that is written meanwhile is there the next time.
                source.ask(&words).await?;
            }
            Ok(keys.is_empty())
        })
        .await?;
        for node in [to, from] {
            self.set_slot(node, slot, &["NODE", &to_id]).await?;
        }
        self.until_agreed().await
    }

    async fn set_slot(&self, node: usize, slot: usize, words: &[&str]) -> Result<()> {
        let slot = slot.to_string();
        let words = [&["CLUSTER", "SETSLOT", &slot], words].concat();
        match &*self.nodes[node].ask(&words).await? {
            "OK" => Ok(()),
            answer => bail!("{words:?}: {answer}"),
        }
    }

    /// The port at which the others and the brokers find a node.
    fn port(&self, node: usize) -> u16 {
        let node = &self.nodes[node];
        if self.speaks_tls {
            node.tls_port()
        } else {
            node.port()
        }
    }

    /// What remains when this is not dropped.
    pub(crate) fn remains(&self) -> Vec<Remains> {
        self.nodes.iter().filter_map(RedisServer::remains).collect()
    }

    /// The ports of all nodes.
    pub fn ports(&self) -> Vec<u16> {
        (0..self.nodes.len()).map(|node| self.port(node)).collect()
    }

    /// Where a broker finds it: two of the nodes.
    pub fn url(&self) -> String {
        self.url_at(Ipv4Addr::LOCALHOST)
    }

    /// The same for a broker that comes by another host, at which something stands on the same ports.
    pub fn url_at(&self, host: Ipv4Addr) -> String {
        let scheme = if self.speaks_tls { "rediss" } else { "redis" };
        let (one, other) = (self.port(0), self.port(1));
        format!("{scheme}+cluster://{host}:{one},{host}:{other}")
    }

    /// Settings of a broker that has its channels there.
    pub fn settings(&self) -> Settings {
        Settings::new()
            .key("engine.default.kind", "\"redis\"")
            .key("engine.default.url", format!("{:?}", self.url()))
    }
}
