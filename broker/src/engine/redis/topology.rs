//! Where a server is: at an address that is known, where its Sentinels say, or where the nodes of a cluster say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisError, RedisResult,
};

use super::cluster::Cluster;
use super::error::RedisStartError;
use super::given_up::GivenUp;
use super::parts::{slot_of, tag_of};
use super::pubsub::PubSub;
use super::sentinels::Sentinels;
use super::server_url::{ServerUrl, UrlError};
use super::settings::RedisSettings;
use super::tenure::Tenure;
use super::{cluster, sentinels};
use crate::config::read_regular_file;

/// Where the server is.
#[derive(Debug)]
pub(super) struct Topology {
    place: Kind,
    name: String,
    /// They are read whenever something is connected to, so that passwords can be exchanged.
    password_file: Option<PathBuf>,
    sentinel_secret_file: Option<PathBuf>,
    pub(super) timeout: Duration,
    pub(super) trust_persistence: bool,
    /// How many replicas have to have what is acknowledged.
    pub(super) replicas: usize,
    /// The connections to the server before the present one.
    pub(super) given_up: GivenUp,
}

#[derive(Debug)]
enum Kind {
    /// This is the server.
    Known(Client),
    /// The server is the primary that these know.
    Watched(Sentinels),
    /// The server is the node of a cluster that has this part.
    OfCluster(Part),
}

/// A part of a cluster.
#[derive(Debug)]
pub(super) struct Part {
    cluster: Arc<Cluster>,
    number: usize,
    slot: u16,
    pub(super) tenure: Tenure,
}

impl Topology {
    /// Reads the settings.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, RedisStartError> {
        let of_url = |reason| RedisStartError::of_url(&settings.url, reason);
        let of_client = |source| of_url(UrlError::Client(source));
        let ServerUrl { url, name } = ServerUrl::read(&settings.url).map_err(of_url)?;
        let password = password(settings.password_file.as_deref())?;
        let place = if cluster::SCHEMES.fit(&url) {
            return Err(RedisStartError::ClusterAmongSeveral);
        } else if sentinels::SCHEMES.fit(&url) {
            let of_sentinels = self::password(settings.sentinel_secret_file.as_deref())?;
            let sentinels = Sentinels::parse(&url, password.as_deref(), of_sentinels.as_deref());
            Kind::Watched(sentinels.map_err(of_client)?)
        } else {
            let info = server_info(&*url, password.as_deref()).map_err(of_client)?;
            Kind::Known(Client::open(info).map_err(of_client)?)
        };
        let mut topology = Self::at(place, settings);
        topology.name = name.unwrap_or_default();
        if topology.name.is_empty() {
            topology.name = topology.place_name();
        }
        Ok(topology)
    }

    /// The node that has this part of a cluster.
    pub(super) fn of_part(settings: &RedisSettings, cluster: &Arc<Cluster>, number: usize) -> Self {
        let part = Part {
            cluster: Arc::clone(cluster),
            number,
            slot: slot_of(&tag_of(number)),
            tenure: Tenure::default(),
        };
        let mut topology = Self::at(Kind::OfCluster(part), settings);
        topology.name = topology.place_name();
        topology
    }

    fn at(place: Kind, settings: &RedisSettings) -> Self {
        Self {
            place,
            name: String::new(),
            password_file: settings.password_file.clone(),
            sentinel_secret_file: settings.sentinel_secret_file.clone(),
            timeout: settings.timeout,
            trust_persistence: settings.trust_persistence,
            replicas: settings.replicas,
            given_up: GivenUp::default(),
        }
    }

    /// What brokers that share the server call it.
    fn place_name(&self) -> String {
        let place = match &self.place {
            Kind::Known(client) => client.get_connection_info().addr().to_string(),
            // The Sentinels come and go, and stand in any order.
            Kind::Watched(sentinels) => sentinels.primary().to_owned(),
            Kind::OfCluster(part) => format!("{}#{:02}", part.cluster.name(), part.number),
        };
        match self.database() {
            0 => place,
            database => format!("{place}/{database}"),
        }
    }

    /// The name that `url` gives the server, or otherwise its place.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the database.
    pub(super) fn database(&self) -> i64 {
        match &self.place {
            Kind::Known(client) => client.get_connection_info().redis_settings().db(),
            Kind::Watched(sentinels) => sentinels.database(),
            Kind::OfCluster(_) => 0,
        }
    }

    /// Where the server is, without a password.
    pub(super) fn shown(&self) -> String {
        match &self.place {
            Kind::Known(client) => client.get_connection_info().addr().to_string(),
            Kind::Watched(sentinels) => sentinels.shown(),
            Kind::OfCluster(part) => {
                format!(
                    "{} (part {} of the cluster)",
                    part.cluster.shown(),
                    part.number
                )
            }
        }
    }

    /// Whether another server may take this one's place.
    pub(super) fn is_watched(&self) -> bool {
        !matches!(self.place, Kind::Known(_))
    }

    /// The part of a cluster that is there, if it is one.
    pub(super) fn part(&self) -> Option<&Part> {
        match &self.place {
            Kind::OfCluster(part) => Some(part),
            _ => None,
        }
    }

    /// How is published and heard there.
    pub(super) fn pubsub(&self) -> PubSub {
        match &self.place {
            Kind::OfCluster(_) => PubSub::Sharded,
            _ => PubSub::Plain,
        }
    }

    /// The server, as it is now.
    pub(super) async fn find(&self) -> Result<Client, RedisStartError> {
        let password = password(self.password_file.as_deref())?;
        let password = password.as_deref();
        let info = match &self.place {
            Kind::Known(client) => client.get_connection_info().clone(),
            Kind::Watched(sentinels) => self.primary(sentinels).await?,
            Kind::OfCluster(part) => {
                let cluster = &part.cluster;
                cluster
                    .primary_of(part.slot, password, self.timeout)
                    .await?
            }
        };
        Client::open(with_password(info, password)).map_err(|source| RedisStartError::Url {
            url: self.shown(),
            reason: UrlError::Client(source),
        })
    }

    async fn primary(&self, sentinels: &Sentinels) -> Result<ConnectionInfo, RedisStartError> {
        let password = password(self.sentinel_secret_file.as_deref())?;
        sentinels.find(password.as_deref(), self.timeout).await
    }

    /// Ready when the Sentinels name another server than this one; never without Sentinels. A node of a cluster says by itself that
    /// it has lost a slot, and that it is cut off from the others.
    pub(super) async fn until_moved(&self, from: &ConnectionAddr, interval: Duration) {
        let Kind::Watched(sentinels) = &self.place else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(interval).await;
            // Sentinels that do not answer say nothing about the server.
            if let Ok(info) = self.primary(sentinels).await
                && info.addr() != from
            {
                return;
            }
        }
    }
}

/// How a server at this place is connected to.
pub(super) fn server_info(
    place: impl IntoConnectionInfo,
    password: Option<&str>,
) -> RedisResult<ConnectionInfo> {
    let info = place.into_connection_info()?;
    // It brings what is heard at any time, on a connection that takes other commands, too.
    let terms = info.redis_settings().clone();
    let terms = terms.set_protocol(ProtocolVersion::RESP3);
    Ok(with_password(info.set_redis_settings(terms), password))
}

/// The same server, with this password if there is one.
pub(super) fn with_password(server: ConnectionInfo, password: Option<&str>) -> ConnectionInfo {
    let Some(password) = password else {
        return server;
    };
    let terms = server.redis_settings().clone();
    server.set_redis_settings(terms.set_password(password))
}

/// The same server, at another place.
pub(super) fn elsewhere(server: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let place = match server.addr() {
        ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    server.clone().set_addr(place)
}

/// A connection for a few questions: whoever asks has a deadline of its own.
pub(super) async fn connect_to_ask(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    connecting.await
}

/// The password in a file.
pub(super) fn password(path: Option<&Path>) -> Result<Option<String>, RedisStartError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let password = read_regular_file(path).and_then(|bytes| {
        let password = String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text"))?;
        match password.trim() {
            "" => Err(invalid("it is empty")),
            password => Ok(password.to_owned()),
        }
    });
    let password = password.map_err(|source| RedisStartError::PasswordFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(password))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A URL that the client crate has no words for.
pub(super) fn wrong_url(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(url: &str) -> String {
        let settings = RedisSettings {
            url: url.to_owned(),
            ..RedisSettings::default()
        };
        Topology::new(&settings).unwrap().name().to_owned()
    }

    #[test]
    fn a_server_is_named_by_its_place_if_not_otherwise() {
        for (url, expected) in [
            ("redis://10.0.0.1", "10.0.0.1:6379"),
            ("redis://user:secret@10.0.0.1:7000/2", "10.0.0.1:7000/2"),
            ("redis://10.0.0.1:7000?name=a", "a"),
            ("rediss://10.0.0.1:7000/1?protocol=3&name=a", "a"),
            ("redis+sentinel://a:1,b:2/main", "main"),
            ("redis+sentinel://:secret@b,a:1/main/3", "main/3"),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
    }
}
