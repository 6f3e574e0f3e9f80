//! A cluster of real servers.

use std::time::Duration;

use super::node::until;
use super::server::{RedisServer, try_ask};
use super::stage::settings;
use crate::engine::RedisSettings;

/// How many slots a cluster has.
const SLOTS: usize = 16384;

/// Primaries without replicas, each with an equal share of the slots. They end with this.
pub(super) struct ClusterNodes {
    pub(super) nodes: Vec<RedisServer>,
}

impl ClusterNodes {
    pub(super) async fn start(count: usize) -> Self {
        let mut nodes = Vec::new();
        for number in 0..count {
            let node = RedisServer::start(&["--cluster-enabled", "yes"]).await;
            let (first, last) = (number * SLOTS / count, (number + 1) * SLOTS / count - 1);
            let (first, last) = (first.to_string(), last.to_string());
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await;
            let epoch = (number + 1).to_string();
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await;
            nodes.push(node);
        }
        for node in &nodes[1..] {
            let port = nodes[0].port.to_string();
            node.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port])
                .await;
        }
        let cluster = Self { nodes };
        cluster.ready().await;
        cluster
    }

    /// Waits until all nodes know each other and take commands.
    pub(super) async fn ready(&self) {
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        for node in &self.nodes {
            until("the node to be ready", async || {
                let info: String = node.ask(&["CLUSTER", "INFO"]).await;
                info.contains("cluster_state:ok") && info.contains(&known)
            })
            .await;
        }
    }

    /// Settings of a broker that has its channels there.
    pub(super) fn settings(&self) -> RedisSettings {
        RedisSettings {
            url: format!("redis+cluster://127.0.0.1:{}", self.nodes[0].port),
            lease: Duration::from_secs(2),
            ..settings(&self.nodes[0])
        }
    }

    /// All keys in a slot of a node.
    async fn keys(&self, node: usize, slot: u16) -> Vec<String> {
        let slot = slot.to_string();
        let words = ["CLUSTER", "GETKEYSINSLOT", &slot, "10000"];
        self.nodes[node].ask(&words).await
    }

    /// A slot begins to move.
    pub(super) async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        self.set_slot(to, slot, &["IMPORTING", &self.id(from).await])
            .await;
        self.set_slot(from, slot, &["MIGRATING", &self.id(to).await])
            .await;
    }

    /// It has moved, with all its keys.
    pub(super) async fn end_move(&self, slot: u16, from: usize, to: usize) {
        let port = self.nodes[to].port.to_string();
        loop {
            let keys = self.keys(from, slot).await;
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "10000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            // One that is written meanwhile is there the next time.
            self.nodes[from].ask::<String>(&words).await;
        }
        let id = self.id(to).await;
        for node in [to, from] {
            self.set_slot(node, slot, &["NODE", &id]).await;
        }
    }

    /// Moves a slot with all its keys.
    pub(super) async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to).await;
        self.end_move(slot, from, to).await;
    }

    async fn id(&self, node: usize) -> String {
        self.nodes[node].ask(&["CLUSTER", "MYID"]).await
    }

    async fn set_slot(&self, node: usize, slot: u16, words: &[&str]) {
        let slot = slot.to_string();
        let mut all = vec!["CLUSTER", "SETSLOT", &slot];
        all.extend(words);
        self.nodes[node].ask::<()>(&all).await;
    }

    /// Everything in a slot, so that it can be put back.
    pub(super) async fn dump(&self, node: usize, slot: u16) -> Vec<(String, Vec<u8>)> {
        let mut dumped = Vec::new();
        for key in self.keys(node, slot).await {
            let bytes: Option<Vec<u8>> = self.nodes[node].ask(&["DUMP", &key]).await;
            // One that has expired meanwhile is none.
            dumped.extend(bytes.map(|bytes| (key, bytes)));
        }
        dumped
    }

    /// Has nothing in a slot but this.
    pub(super) async fn restore(&self, node: usize, slot: u16, dumped: &[(String, Vec<u8>)]) {
        for key in self.keys(node, slot).await {
            self.nodes[node].ask::<u64>(&["DEL", &key]).await;
        }
        for (key, bytes) in dumped {
            let words = [&b"RESTORE"[..], key.as_bytes(), b"0", bytes, b"REPLACE"];
            try_ask::<()>(&self.nodes[node].url(), &words)
                .await
                .unwrap();
        }
    }
}
