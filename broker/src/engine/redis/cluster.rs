//! The nodes of a cluster, which know what primary has which slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::seq::SliceRandom;
use redis::{Client, ConnectionAddr, ConnectionInfo, FromRedisValue, RedisResult, Value};
use tokio::sync::Mutex;

use super::error::RedisStartError;
use super::hosts::Schemes;
use super::topology::{connect_to_ask, elsewhere, with_password, wrong_url};

/// The URLs by which clusters are named.
pub(super) const SCHEMES: Schemes = Schemes {
    without_tls: "redis+cluster://",
    with_tls: "rediss+cluster://",
    port: ":6379",
};

/// A node that takes longer to answer is left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many nodes are asked at once; the first that answers is believed. One that was cut off from the others may not be right:
/// the server that it names says so, and another time other nodes are asked.
const ASKED_AT_ONCE: usize = 3;

/// Some nodes of a cluster, and those that they know.
#[derive(Debug)]
pub(super) struct Cluster {
    name: String,
    /// How the nodes that the settings name are connected to.
    seeds: Vec<ConnectionInfo>,
    /// What was said last.
    map: Mutex<SlotMap>,
}

/// What the nodes say.
#[derive(Debug)]
struct SlotMap {
    /// When they were asked.
    asked: Option<Instant>,
    said: Result<Vec<Range>, Arc<RedisStartError>>,
    /// All that there were when one answered: those that the settings name may be gone.
    nodes: Vec<ConnectionInfo>,
}

/// Slots that follow each other, and the nodes that have them.
#[derive(Debug)]
struct Range {
    first: u16,
    last: u16,
    primary: ConnectionInfo,
    replicas: Vec<ConnectionInfo>,
}

impl Cluster {
    /// Reads `redis+cluster://[user[:password]@]host[:port],host[:port],…`; user and password are those of all nodes.
    pub(super) fn parse(
        url: &str,
        password: Option<&str>,
        name: Option<String>,
    ) -> RedisResult<Self> {
        let url = SCHEMES.parse(url);
        if !matches!(url.path, "" | "0") {
            return Err(wrong_url("a cluster has the database 0 alone"));
        }
        let seeds = url.servers("", password)?;
        let name = name.filter(|name| !name.is_empty());
        Ok(Self {
            name: name.unwrap_or_else(|| seeds[0].addr().to_string()),
            seeds,
            map: Mutex::new(SlotMap {
                asked: None,
                said: Ok(Vec::new()),
                nodes: Vec::new(),
            }),
        })
    }

    /// The name that the URL gives the cluster, otherwise the place of the first node in it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The nodes that the settings name, without a password.
    pub(super) fn shown(&self) -> String {
        let places: Vec<_> = self
            .seeds
            .iter()
            .map(|seed| seed.addr().to_string())
            .collect();
        places.join(", ")
    }

    /// Asks for the primary that has a slot, with this password if the nodes have one. Those who want to know at the same time ask together.
    pub(super) async fn primary_of(
        &self,
        slot: u16,
        password: Option<&str>,
        timeout: Duration,
    ) -> Result<ConnectionInfo, RedisStartError> {
        let wanted = Instant::now();
        let mut map = self.map.lock().await;
        // A round that had begun already may have begun too early.
        if map.asked.is_none_or(|asked| asked < wanted) {
            *map = self.ask_nodes(&map.nodes, password, timeout).await;
        }
        let ranges = map.said.as_ref();
        let ranges = ranges.map_err(|source| RedisStartError::NoClusterNode {
            source: Arc::clone(source),
        })?;
        let mut ranges = ranges.iter();
        let range = ranges.find(|range| (range.first..=range.last).contains(&slot));
        let primary = range.map(|range| range.primary.clone());
        primary.ok_or_else(|| RedisStartError::SlotWithoutPrimary {
            address: self.shown(),
            slot,
        })
    }

    /// Asks nodes, in an order that is left to chance, until one answers.
    async fn ask_nodes(
        &self,
        known: &[ConnectionInfo],
        password: Option<&str>,
        timeout: Duration,
    ) -> SlotMap {
        let asked = Some(Instant::now());
        let is_seed =
            |node: &ConnectionInfo| self.seeds.iter().any(|seed| seed.addr() == node.addr());
        let mut nodes = self.seeds.clone();
        nodes.extend(known.iter().filter(|node| !is_seed(node)).cloned());
        let nodes = nodes.into_iter();
        let mut nodes: Vec<_> = nodes.map(|node| with_password(node, password)).collect();
        nodes.shuffle(&mut rand::rng());
        let mut failed: Option<RedisStartError> = None;
        for some in nodes.chunks(ASKED_AT_ONCE) {
            let mut asked_now: FuturesUnordered<_> =
                some.iter().map(|node| ask(node, timeout)).collect();
            while let Some(answer) = asked_now.next().await {
                match answer {
                    Ok(ranges) => {
                        let of_range = ranges.iter().flat_map(Range::nodes).cloned();
                        let nodes = of_range.collect();
                        return SlotMap {
                            asked,
                            said: Ok(ranges),
                            nodes,
                        };
                    }
                    // What does not pass has to be known at the start, also when other nodes are down.
                    Err(error) if failed.as_ref().is_none_or(RedisStartError::may_pass) => {
                        failed = Some(error);
                    }
                    Err(_) => {}
                }
            }
        }
        let silent = || RedisStartError::Silent {
            address: self.shown(),
        };
        SlotMap {
            asked,
            said: Err(Arc::new(failed.unwrap_or_else(silent))),
            nodes,
        }
    }
}

/// What one node says.
async fn ask(node: &ConnectionInfo, timeout: Duration) -> Result<Vec<Range>, RedisStartError> {
    let place = node.addr().to_string();
    let refused = |error| RedisStartError::of(error, place.clone());
    let asked = async {
        let client = Client::open(node.clone()).map_err(refused)?;
        let mut connection = connect_to_ask(&client).await.map_err(refused)?;
        let mut slots = redis::cmd("CLUSTER");
        let said: Result<Vec<Vec<Value>>, _> =
            slots.arg("SLOTS").query_async(&mut connection).await;
        match said {
            Ok(entries) => Ok(entries
                .iter()
                .filter_map(|entry| Range::read(entry, node))
                .collect()),
            Err(error) if error.to_string().contains("cluster support disabled") => {
                Err(RedisStartError::NotACluster {
                    address: place.clone(),
                })
            }
            Err(error) => Err(refused(error)),
        }
    };
    let answer = tokio::time::timeout(PATIENCE.min(timeout), asked).await;
    answer.unwrap_or_else(|_| {
        Err(RedisStartError::Silent {
            address: place.clone(),
        })
    })
}

impl Range {
    /// Reads an entry of `CLUSTER SLOTS`: the first slot, the last, the primary, and its replicas.
    fn read(entry: &[Value], asked: &ConnectionInfo) -> Option<Self> {
        let number = |value: &Value| u16::from_redis_value(value.clone()).ok();
        let (first, rest) = entry.split_first()?;
        let (last, rest) = rest.split_first()?;
        let (primary, replicas) = rest.split_first()?;
        let replicas = replicas.iter();
        Some(Self {
            first: number(first)?,
            last: number(last)?,
            primary: node(primary, asked)?,
            replicas: replicas.filter_map(|one| node(one, asked)).collect(),
        })
    }

    fn nodes(&self) -> impl Iterator<Item = &ConnectionInfo> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }
}

/// Reads a node: its host, its port, and more. One that does not know its host is where it was asked.
fn node(value: &Value, asked: &ConnectionInfo) -> Option<ConnectionInfo> {
    let Value::Array(words) = value else {
        return None;
    };
    let [host, port, ..] = &**words else {
        return None;
    };
    let host = Option::<String>::from_redis_value(host.clone()).ok()?;
    let port = u16::from_redis_value(port.clone()).ok()?;
    let host = host.filter(|host| !matches!(&**host, "" | "?"));
    let host = host.or_else(|| match asked.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => Some(host.clone()),
        _ => None,
    })?;
    Some(elsewhere(asked, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        let cluster = Cluster::parse(url, None, None);
        cluster.map_or_else(|error| error.to_string(), |cluster| cluster.shown())
    }

    #[test]
    fn nodes_are_read_from_a_url() {
        assert_eq!(
            shown("redis+cluster://me:secret@10.0.0.1,[::1]:7001,10.0.0.2:7000/0"),
            "10.0.0.1:6379, ::1:7001, 10.0.0.2:7000"
        );
        assert_eq!(shown("rediss+cluster://a"), "a:6379");
        for bad in [
            "redis+cluster://",
            "redis+cluster://a/1",
            "redis+cluster://a,,b",
        ] {
            assert!(Cluster::parse(bad, None, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_node_says_of_the_slots_is_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let of = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let entry = [
            Value::Int(0),
            Value::Int(5460),
            of(text("10.0.0.1"), 7000),
            of(Value::Nil, 7001),
            of(text("?"), 7002),
        ];
        let cluster = Cluster::parse("rediss+cluster://me:secret@here", None, None).unwrap();
        let range = Range::read(&entry, &cluster.seeds[0]).unwrap();
        assert_eq!((range.first, range.last), (0, 5460));
        let nodes: Vec<_> = range.nodes().map(|node| node.addr().to_string()).collect();
        assert_eq!(nodes, ["10.0.0.1:7000", "here:7001", "here:7002"]);
        let primary = &range.primary;
        assert!(matches!(primary.addr(), ConnectionAddr::TcpTls { .. }));
        assert_eq!(primary.redis_settings().password(), Some("secret"));
        assert!(Range::read(&entry[..2], &cluster.seeds[0]).is_none());
    }
}
