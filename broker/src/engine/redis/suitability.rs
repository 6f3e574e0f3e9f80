//! Whether a server is one that the engine can use: what it says of itself, and what its user may do.

use redis::{ErrorKind, InfoDict, RedisError, RedisResult, ServerErrorKind};

use super::connection::Server;
use super::error::RedisStartError;
use super::keys::Keys;
use super::pubsub::PubSub;
use super::scripts::{Scripts, call};
use super::topology::Topology;

/// The oldest server whose commands are enough: `XTRIM … MINID`.
const OLDEST_VERSION: (u32, u32) = (6, 2);

/// The oldest node of a cluster: sharded pub/sub.
const OLDEST_FOR_CLUSTER: (u32, u32) = (7, 0);

/// Whether a server can do what is needed, by what it says of itself.
pub(super) fn check(
    info: &InfoDict,
    topology: &Topology,
    place: &str,
) -> Result<(), RedisStartError> {
    let version: String = info.get("redis_version").unwrap_or_default();
    let place = place.to_owned();
    if info.get::<String>("redis_mode").as_deref() == Some("sentinel") {
        return Err(RedisStartError::IsSentinel { address: place });
    }
    if numbers(&version) < OLDEST_VERSION {
        return Err(RedisStartError::TooOld {
            address: place,
            version,
        });
    }
    let is_of_cluster = info.get::<u8>("cluster_enabled") == Some(1);
    if topology.part().is_none() && is_of_cluster {
        return Err(RedisStartError::Cluster { address: place });
    }
    if topology.part().is_some() && !is_of_cluster {
        return Err(RedisStartError::NotACluster { address: place });
    }
    if is_of_cluster && numbers(&version) < OLDEST_FOR_CLUSTER {
        return Err(RedisStartError::TooOldForCluster {
            address: place,
            version,
        });
    }
    if is_primary(info) {
        return Ok(());
    }
    if topology.is_watched() {
        return Err(RedisStartError::Demoted { address: place });
    }
    let host: String = info.get("master_host").unwrap_or_default();
    let port: String = info.get("master_port").unwrap_or_default();
    Err(RedisStartError::Replica {
        address: place,
        primary: format!("{host}:{port}"),
    })
}

pub(super) fn is_primary(info: &InfoDict) -> bool {
    let role: Option<String> = info.get("role");
    role.is_none_or(|role| role == "master")
}

/// The history of replication in which this server was a replica, until it took over. A primary that has been a replica
/// meanwhile may have lost what it had acknowledged: that is another process to us.
pub(super) fn taken_over_from(info: &InfoDict) -> Option<String> {
    let before: Option<String> = info.get("master_replid2");
    before.filter(|id| id.bytes().any(|byte| byte != b'0'))
}

/// The first two numbers of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Does once what the user has to be allowed to do, on a key and a topic of its own.
pub(super) async fn try_everything(
    server: &mut Server,
    pubsub: PubSub,
    keys: &Keys,
    scripts: &Scripts,
) -> RedisResult<()> {
    let topic = keys.tried_topic();
    let mut probe = call(&scripts.probe, &keys.tried());
    probe.arg(&topic).arg(pubsub.publish());
    let denied: Option<String> = probe.query_async(&mut server.commands).await?;
    if let Some(denied) = denied {
        let kind = ErrorKind::Server(ServerErrorKind::NoPerm);
        return Err(RedisError::from((
            kind,
            "a script may not do all that it has to",
            denied,
        )));
    }
    let counted = pubsub.count(&topic);
    counted
        .query_async::<redis::Value>(&mut server.commands)
        .await?;
    if let Some(replicas) = &server.replicas {
        replicas.try_once().await?;
    }
    let (topics, mut connection) = ([topic], server.topics()?);
    pubsub.subscribe(&mut connection, &topics).await?;
    pubsub.unsubscribe(&mut connection, &topics).await
}

#[cfg(test)]
mod tests {
    use super::super::settings::RedisSettings;
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, enough) in [
            ("6.2.0", true),
            ("7.0.15", true),
            ("10.0", true),
            ("6.0.20", false),
            ("5.0.7", false),
            ("", false),
        ] {
            assert_eq!(numbers(version) >= OLDEST_VERSION, enough, "{version}");
        }
    }

    /// What is said of a server that says this of itself.
    fn verdict(url: &str, says: &str) -> String {
        let settings = RedisSettings {
            url: url.to_owned(),
            ..RedisSettings::default()
        };
        let topology = if settings.names_cluster() {
            Topology::of_part(&settings, &settings.cluster().unwrap(), 0)
        } else {
            Topology::new(&settings).unwrap()
        };
        let verdict = check(&InfoDict::new(says), &topology, "here:1");
        verdict.map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn what_a_server_says_of_itself_is_judged() {
        let (known, watched) = ("redis://here:1", "redis+sentinel://there/main");
        let fine = verdict(known, "redis_version:6.2.1\r\nrole:master\r\n");
        assert_eq!(fine, "fine");
        let old = verdict(known, "redis_version:6.0.16\r\nrole:master\r\n");
        assert_eq!(
            old,
            "expected Redis 6.2 or newer, or Valkey, at here:1: it is \"6.0.16\""
        );
        let replica = "redis_version:7.0.0\r\nrole:slave\r\nmaster_host:there\r\nmaster_port:2\r\n";
        assert!(verdict(known, replica).contains("its primary is at there:2"));
        assert!(verdict(watched, replica).contains("is a replica now"));
        let cluster = "redis+cluster://here:1";
        let node =
            |version| format!("redis_version:{version}\r\nrole:master\r\ncluster_enabled:1\r\n");
        assert_eq!(verdict(cluster, &node("7.0.0")), "fine");
        let old = verdict(cluster, &node("6.2.14"));
        assert!(old.contains("Redis 7.0 or newer, or Valkey, for a cluster"));
        assert!(verdict(known, &node("7.0.0")).contains(cluster));
        let single = "redis_version:7.0.0\r\nrole:master\r\ncluster_enabled:0\r\n";
        assert!(verdict(cluster, single).contains("name it as redis://here:1"));
    }

    #[test]
    fn a_primary_that_was_a_replica_meanwhile_is_another_process() {
        let zeros = "0".repeat(40);
        let info = |before: &str| InfoDict::new(&format!("master_replid2:{before}\r\n"));
        assert_eq!(taken_over_from(&info(&zeros)), None);
        assert_eq!(taken_over_from(&info("abc")), Some("abc".to_owned()));
    }
}
