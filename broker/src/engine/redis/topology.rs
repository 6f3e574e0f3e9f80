//! Where a server is: at an address that is known, or where its Sentinels say.

use std::path::Path;
use std::time::Duration;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisError, RedisResult,
};

use super::error::RedisStartError;
use super::sentinels::{Sentinels, WITH_TLS, WITHOUT_TLS};
use super::settings::RedisSettings;

/// Where the server is.
#[derive(Debug)]
pub(super) struct Topology {
    place: Kind,
    name: String,
    pub(super) timeout: Duration,
    pub(super) trust_persistence: bool,
    /// How many replicas have to have what is acknowledged.
    pub(super) replicas: usize,
}

#[derive(Debug)]
enum Kind {
    /// This is the server.
    Known(Client),
    /// The server is the primary that these know.
    Watched(Sentinels),
}

impl Topology {
    /// Reads the settings.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, RedisStartError> {
        let (url, name) = without_name(&settings.url);
        let password = settings
            .password_file
            .as_deref()
            .map(password)
            .transpose()?;
        let sentinel_password = settings.sentinel_secret_file.as_deref();
        let sentinel_password = sentinel_password.map(self::password).transpose()?;
        let of_url = |source| RedisStartError::Url { source };
        let place = if url.starts_with(WITHOUT_TLS) || url.starts_with(WITH_TLS) {
            let sentinels =
                Sentinels::parse(&url, password.as_deref(), sentinel_password.as_deref());
            Kind::Watched(sentinels.map_err(of_url)?)
        } else {
            let info = server_info(&*url, password.as_deref()).map_err(of_url)?;
            Kind::Known(Client::open(info).map_err(of_url)?)
        };
        let mut topology = Self {
            place,
            name: name.unwrap_or_default(),
            timeout: settings.timeout,
            trust_persistence: settings.trust_persistence,
            replicas: settings.replicas,
        };
        if topology.name.is_empty() {
            topology.name = topology.place_name();
        }
        Ok(topology)
    }

    /// What brokers that share the server call it.
    fn place_name(&self) -> String {
        let place = match &self.place {
            Kind::Known(client) => client.get_connection_info().addr().to_string(),
            // The Sentinels come and go, and stand in any order.
            Kind::Watched(sentinels) => sentinels.primary().to_owned(),
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
        }
    }

    /// Where the server is, without a password.
    pub(super) fn shown(&self) -> String {
        match &self.place {
            Kind::Known(client) => client.get_connection_info().addr().to_string(),
            Kind::Watched(sentinels) => sentinels.shown(),
        }
    }

    /// Whether another server may take this one's place.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self.place, Kind::Watched(_))
    }

    /// The server, as it is now.
    pub(super) async fn find(&self) -> Result<Client, RedisStartError> {
        match &self.place {
            Kind::Known(client) => Ok(client.clone()),
            Kind::Watched(sentinels) => {
                let info = sentinels.find(self.timeout).await?;
                Client::open(info).map_err(|source| RedisStartError::Url { source })
            }
        }
    }

    /// Ready when the Sentinels name another server than this one; never without Sentinels.
    pub(super) async fn until_moved(&self, from: &ConnectionAddr, interval: Duration) {
        let Kind::Watched(sentinels) = &self.place else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(interval).await;
            // Sentinels that do not answer say nothing about the server.
            if let Ok(info) = sentinels.find(self.timeout).await
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
    let mut terms = terms.set_protocol(ProtocolVersion::RESP3);
    if let Some(password) = password {
        terms = terms.set_password(password);
    }
    Ok(info.set_redis_settings(terms))
}

fn password(path: &Path) -> Result<String, RedisStartError> {
    let password = std::fs::read_to_string(path);
    let password = password.map_err(|source| RedisStartError::PasswordFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(password.trim().to_owned())
}

/// Takes the name of the server (`?name=…`) out of its URL: the client crate does not know it.
fn without_name(url: &str) -> (String, Option<String>) {
    let Some((before, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let parts = query.split('&');
    let (names, others): (Vec<_>, Vec<_>) = parts.partition(|part| part.starts_with("name="));
    let name = names.first().and_then(|name| name.strip_prefix("name="));
    let url = if others.is_empty() {
        before.to_owned()
    } else {
        format!("{before}?{}", others.join("&"))
    };
    (url, name.map(str::to_owned))
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
