//! A real cluster of Redis servers, as processes of their own.

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::deadline::eventually;
use crate::redis::RedisServer;
use crate::settings::Settings;

/// How many primaries there are, and as many replicas.
const PRIMARIES: usize = 3;

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

/// Three primaries with an equal share of the slots, each with a replica. They are killed when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one, and waits until each node knows all others.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn start() -> Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..2 * PRIMARIES {
            nodes.push(RedisServer::start(&OPTIONS).await?);
        }
        let cluster = Self { nodes };
        let shares = ["0 5460", "5461 10922", "10923 16383"];
        for (number, node) in cluster.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?;
            let port = cluster.nodes[0].port().to_string();
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
        for number in 0..PRIMARIES {
            let id = cluster.id(number).await?;
            let replica = &cluster.nodes[PRIMARIES + number];
            replica.ask(&["CLUSTER", "REPLICATE", &id]).await?;
        }
        cluster
            .until_all_say("are ready", "cluster_state:ok")
            .await?;
        for (number, node) in cluster.nodes.iter().enumerate() {
            let up = if number < PRIMARIES {
                "connected_slaves:1"
            } else {
                "master_link_status:up"
            };
            eventually("the replicas follow", async || {
                let info = node.ask(&["INFO", "replication"]).await?;
                let nodes = node.ask(&["CLUSTER", "NODES"]).await?;
                Ok(info.contains(up) && nodes.matches("slave").count() == PRIMARIES)
            })
            .await?;
        }
        Ok(cluster)
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

    async fn id(&self, number: usize) -> Result<String> {
        self.nodes[number].ask(&["CLUSTER", "MYID"]).await
    }

    /// The number of the primary that has a channel, and the slot in which it has it.
    ///
    /// # Errors
    /// When none has it: a replica that has taken over is not asked.
    pub async fn place_of(&self, channel: &str) -> Result<(usize, usize)> {
        let pattern = format!("widecast:*:s:{{{channel}}}");
        for (number, node) in self.nodes[..PRIMARIES].iter().enumerate() {
            let key = node.ask(&["KEYS", &pattern]).await?;
            if !key.is_empty() {
                let slot = node.ask(&["CLUSTER", "KEYSLOT", &key]).await?;
                return Ok((number, slot.parse()?));
            }
        }
        bail!("no primary has {pattern}")
    }

    /// Ends a primary at once.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self, primary: usize) -> Result<()> {
        self.nodes[primary].kill().await
    }

    /// Who has which slots, as a node sees it.
    async fn shares(node: &RedisServer) -> Result<Vec<String>> {
        let nodes = node.ask(&["CLUSTER", "NODES"]).await?;
        // The id, seven words about the node, and its slots.
        let shares = nodes.lines().map(|line| {
            let mut words = line.split_whitespace();
            let id = words.next().unwrap_or_default();
            let slots: Vec<_> = words.skip(7).collect();
            format!("{id} {}", slots.join(" "))
        });
        let mut shares: Vec<_> = shares.collect();
        shares.sort_unstable();
        Ok(shares)
    }

    /// Orders the replica of a primary to take over from it.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn fail_over(&self, primary: usize) -> Result<()> {
        let replica = &self.nodes[PRIMARIES + primary];
        eventually("the replica knows which slots it has", async || {
            let primary = &self.nodes[primary];
            Ok(Self::shares(replica).await? == Self::shares(primary).await?)
        })
        .await?;
        let answer = replica.ask(&["CLUSTER", "FAILOVER"]).await?;
        if answer != "OK" {
            bail!("CLUSTER FAILOVER: {answer}");
        }
        eventually("the replica has taken over", async || {
            Ok(replica.ask(&["ROLE"]).await?.starts_with("master"))
        })
        .await
    }

    /// Moves some slots with all their keys from one primary to another, the lowest first.
    ///
    /// # Errors
    /// When that fails.
    pub async fn move_slots(&self, count: usize, from: usize, to: usize) -> Result<()> {
        let place = format!("127.0.0.1:{}", self.nodes[from].port());
        let (from, to) = (self.id(from).await?, self.id(to).await?);
        let mut cli = Command::new("redis-cli");
        cli.args(["--cluster", "reshard", &place, "--cluster-yes"]);
        cli.args(["--cluster-from", &from, "--cluster-to", &to]);
        cli.args(["--cluster-slots", &count.to_string()]);
        let answer = cli
            .output()
            .await
            .context("redis-cli has to be installed")?;
        if !answer.status.success() {
            bail!("{}", String::from_utf8_lossy(&answer.stdout));
        }
        Ok(())
    }

    /// Settings of a broker that has its channels there, and knows two of the nodes.
    pub fn settings(&self) -> Settings {
        let places = self.nodes[..2].iter();
        let places = places.map(|node| format!("127.0.0.1:{}", node.port()));
        let url = format!("redis+cluster://{}", places.collect::<Vec<_>>().join(","));
        Settings::new()
            .key("engine.default.kind", "\"redis\"")
            .key("engine.default.url", format!("{url:?}"))
    }
}
