//! The brokers that share an engine, as an operator sees them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::http::ANSWER_TIMEOUT;

/// A broker that shares an engine with others, or the only one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Node {
    /// Which process it is.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its release.
    pub version: String,
    /// When it was started, in seconds since 1970-01-01 UTC.
    pub started: u64,
    /// Whether it is the one that was asked.
    pub this: bool,
    /// Whether it takes leave of its clients.
    pub draining: bool,
    /// For how many milliseconds it counts as running if nothing more is heard of it; nothing for a broker that shares no engine.
    pub lease_ms: Option<u64>,
    /// How many sessions, streams and polls it has.
    pub sessions: u64,
    /// How many subscriptions they have.
    pub subscriptions: u64,
    /// The kinds of its engines, by their names.
    pub engines: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

pub(crate) async fn nodes(client: &Client) -> Result<Vec<Node>, Error> {
    let http = client.http();
    let request = http.get("/v1/nodes", "application/json");
    let body = http.whole(request, Bytes::new(), ANSWER_TIMEOUT).await?;
    let nodes: Result<Nodes, _> = serde_json::from_slice(&body);
    let nodes = nodes.map_err(|_| Error::Protocol("a list of nodes"))?;
    Ok(nodes.nodes)
}
