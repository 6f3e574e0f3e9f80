//! What the nodes that share an engine know of one another: who is there, which tokens are revoked, and what operators have ordered.
//!
//! Each node announces itself at intervals, and is listed until its lease is over. Orders for sessions are carried out here first,
//! and then announced to the others.

mod announcing;
mod content;
mod hearing;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lru::LruCache;

pub use announcing::{announce_node, leave_nodes, recall};
pub(super) use announcing::{announce_order, announce_revocation};
pub use content::NodeRecord;
pub use hearing::hear_nodes;

use super::services::Services;
use crate::config::Config;

/// How many orders of other nodes are remembered, so that none is carried out twice.
const REMEMBERED_ORDERS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// This node, and what it knows of the others.
pub struct Nodes {
    id: String,
    name: String,
    started: SystemTime,
    begun: Instant,
    engines: BTreeMap<String, String>,
    known: Mutex<Known>,
}

struct Known {
    others: HashMap<String, Other>,
    /// Until when this node counts as running at the others.
    lease_end: Option<Instant>,
    /// The keys of orders that have been carried out.
    orders: LruCache<String, ()>,
    announced_orders: u64,
}

struct Other {
    record: NodeRecord,
    lease_end: Instant,
}

/// A node as it is listed.
#[derive(Debug, Clone)]
pub struct ListedNode {
    /// What it says of itself.
    pub record: NodeRecord,
    /// Whether it is this one.
    pub is_this: bool,
    /// For how long it counts as running if nothing more is heard of it; nothing for a node that shares no engine.
    pub lease: Option<Duration>,
}

impl Nodes {
    /// This node, which has just been started under this name.
    pub fn new(config: &Config, name: String) -> Self {
        let is_chosen = |name: &str| config.namespaces.any(|rules| rules.engine.as_str() == name);
        let engines = config.engines.all().filter(|(name, _)| is_chosen(name));
        let engines: Vec<_> = engines.collect();
        Self {
            id: format!("{:016x}", rand::random::<u64>()),
            name,
            started: SystemTime::now(),
            begun: Instant::now(),
            engines: engines
                .iter()
                .map(|(name, engine)| ((*name).to_owned(), engine.kind.name().to_owned()))
                .collect(),
            known: Mutex::new(Known {
                others: HashMap::new(),
                lease_end: None,
                orders: LruCache::new(REMEMBERED_ORDERS),
                announced_orders: 0,
            }),
        }
    }

    /// How many other nodes count as running.
    pub fn others(&self) -> usize {
        let now = Instant::now();
        let known = self.known();
        let others = known.others.values();
        others.filter(|other| other.lease_end > now).count()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No code that can panic runs under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has told of itself.
    fn note(&self, record: NodeRecord) {
        if record.id == self.id {
            return;
        }
        let now = Instant::now();
        let mut known = self.known();
        known.others.retain(|_, other| other.lease_end > now);
        // None has a longer one: the settings have a bound.
        let lease = Duration::from_millis(record.lease_ms).min(Duration::from_hours(1));
        let lease_end = now + lease;
        if record.lease_ms == 0 {
            known.others.remove(&record.id);
        } else {
            let other = Other { record, lease_end };
            known.others.insert(other.record.id.clone(), other);
        }
    }

    /// Whether an order is to be carried out: it comes from another node, and for the first time.
    fn is_new_order(&self, key: &str) -> bool {
        let is_own = key.split(':').nth(1) == Some(&self.id);
        !is_own && self.known().orders.put(key.to_owned(), ()).is_none()
    }
}

impl Services {
    /// What this node says of itself.
    fn node_record(&self) -> NodeRecord {
        let sessions = &self.metrics.sessions;
        let started = self.nodes.started.duration_since(UNIX_EPOCH);
        NodeRecord {
            id: self.nodes.id.clone(),
            name: self.nodes.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: started.unwrap_or_default().as_secs(),
            draining: self.is_draining(),
            sessions: sessions.open(),
            subscriptions: sessions.subscriptions.get().cast_unsigned(),
            engines: self.nodes.engines.clone(),
            lease_ms: u64::try_from(self.lease().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// For how long this node counts as running at the others when they hear nothing of it.
    fn lease(&self) -> Duration {
        self.engine.lease().unwrap_or_default()
    }

    /// All nodes that count as running, by their names: this one, and those that share an engine with it.
    pub fn listed_nodes(&self) -> Vec<ListedNode> {
        let now = Instant::now();
        let record = self.node_record();
        let known = self.nodes.known();
        let left = |end: Instant| end.saturating_duration_since(now);
        let mut nodes = vec![ListedNode {
            record,
            is_this: true,
            lease: known.lease_end.map(left),
        }];
        let others = known.others.values();
        let others = others.filter(|other| other.lease_end > now);
        nodes.extend(others.map(|other| ListedNode {
            record: other.record.clone(),
            is_this: false,
            lease: Some(left(other.lease_end)),
        }));
        nodes.sort_by(|one, other| {
            let key = |node: &ListedNode| (node.record.name.clone(), node.record.id.clone());
            key(one).cmp(&key(other))
        });
        nodes
    }
}
