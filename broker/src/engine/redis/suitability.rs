//! Whether a server is one that the engine can use: what it says of itself, and what its user may do.

use redis::{ErrorKind, InfoDict, RedisError, RedisResult, ServerErrorKind};

use super::connection::Server;
use super::error::RedisStartError;
use super::keys::Keys;
use super::scripts::{Scripts, call};
use super::topology::Topology;

/// The oldest server whose commands are enough: `XTRIM … MINID`.
const OLDEST_VERSION: (u32, u32) = (6, 2);

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
    if !is_new_enough(&version) {
        return Err(RedisStartError::TooOld {
            address: place,
            version,
        });
    }
    if info.get::<u8>("cluster_enabled") == Some(1) {
        return Err(RedisStartError::Cluster { address: place });
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

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST_VERSION
}

/// Does once what the user has to be allowed to do, on a key and a topic of its own.
pub(super) async fn try_everything(
    server: &mut Server,
    keys: &Keys,
    scripts: &Scripts,
) -> RedisResult<()> {
    let topic = keys.tried_topic();
    let mut probe = call(&scripts.probe, &keys.tried());
    let denied: Option<String> = probe.arg(&topic).query_async(&mut server.commands).await?;
    if let Some(denied) = denied {
        let kind = ErrorKind::Server(ServerErrorKind::NoPerm);
        return Err(RedisError::from((
            kind,
            "a script may not do all that it has to",
            denied,
        )));
    }
    let mut numbers = redis::cmd("PUBSUB");
    numbers.arg("NUMSUB").arg(&topic);
    numbers
        .query_async::<redis::Value>(&mut server.commands)
        .await?;
    if let Some(replicas) = &server.replicas {
        replicas.try_once().await?;
    }
    server.topics.subscribe(&topic).await?;
    server.topics.unsubscribe(&topic).await
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
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }

    /// What is said of a server that says this of itself.
    fn verdict(url: &str, says: &str) -> String {
        let settings = RedisSettings {
            url: url.to_owned(),
            ..RedisSettings::default()
        };
        let topology = Topology::new(&settings).unwrap();
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
    }

    #[test]
    fn a_primary_that_was_a_replica_meanwhile_is_another_process() {
        let zeros = "0".repeat(40);
        let info = |before: &str| InfoDict::new(&format!("master_replid2:{before}\r\n"));
        assert_eq!(taken_over_from(&info(&zeros)), None);
        assert_eq!(taken_over_from(&info("abc")), Some("abc".to_owned()));
    }
}
