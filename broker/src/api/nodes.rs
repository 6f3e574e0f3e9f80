//! `GET /v1/nodes`: the brokers that share an engine. For the operator only.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use serde::Serialize;

use super::answer;
use super::operator::Operator;
use crate::http::{Caller, Problem};
use crate::session::{ListedNode, NodeRecord};

#[derive(Serialize)]
struct NodesAnswer {
    nodes: Vec<ShownNode>,
}

#[derive(Serialize)]
struct ShownNode {
    id: String,
    name: String,
    version: String,
    /// In seconds since 1970-01-01 UTC.
    started: u64,
    /// Whether it is the one that answers.
    this: bool,
    draining: bool,
    /// For how long it counts as running if nothing more is heard of it.
    lease_ms: Option<u64>,
    sessions: u64,
    subscriptions: u64,
    /// The kinds of its engines, by their names.
    engines: BTreeMap<String, String>,
}

impl From<ListedNode> for ShownNode {
    fn from(node: ListedNode) -> Self {
        let milliseconds = |lease: std::time::Duration| u64::try_from(lease.as_millis()).ok();
        let NodeRecord {
            id,
            name,
            version,
            started,
            draining,
            sessions,
            subscriptions,
            engines,
            lease_ms: _,
        } = node.record;
        Self {
            id,
            name,
            version,
            started,
            this: node.is_this,
            draining,
            lease_ms: node.lease.and_then(milliseconds),
            sessions,
            subscriptions,
            engines,
        }
    }
}

pub(super) async fn nodes(_: Operator, caller: Caller) -> Result<HttpResponse, Problem> {
    let nodes = caller.services.listed_nodes();
    answer::json(&NodesAnswer {
        nodes: nodes.into_iter().map(ShownNode::from).collect(),
    })
}
