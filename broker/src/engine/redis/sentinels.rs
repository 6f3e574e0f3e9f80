//! The Sentinels that watch over a primary and its replicas, and know which of them is the primary now.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{
    Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult,
};

use super::error::RedisStartError;
use super::hosts::Schemes;
use super::topology::{connect_to_ask, elsewhere, with_password, wrong_url};

/// The URLs by which Sentinels are named.
pub(super) const SCHEMES: Schemes = Schemes {
    without_tls: "redis+sentinel://",
    with_tls: "rediss+sentinel://",
    port: ":26379",
};

/// A Sentinel that takes longer to answer is left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// What watches over a server.
#[derive(Debug)]
pub(super) struct Sentinels {
    clients: Vec<Client>,
    /// What the Sentinels call the primary.
    primary: String,
    /// How the primary is connected to, at whatever address it is.
    server: ConnectionInfo,
}

/// What a Sentinel says.
struct Opinion {
    host: String,
    port: u16,
    /// It goes up with each fail-over.
    config_epoch: u64,
}

impl Sentinels {
    /// Reads `redis+sentinel://[user:password@]host[:port],host[:port]/primary[/database]`; user and password are those of
    /// the servers.
    pub(super) fn parse(
        url: &str,
        password: Option<&str>,
        sentinel_password: Option<&str>,
    ) -> RedisResult<Self> {
        let url = SCHEMES.parse(url);
        let (primary, database) = url.path.split_once('/').unwrap_or((url.path, ""));
        if primary.is_empty() {
            let missing = "the name of the primary is missing after the Sentinels";
            return Err(wrong_url(missing));
        }
        let mut servers = url.servers(database, password)?;
        let terms = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        let terms = match sentinel_password {
            Some(password) => terms.set_password(password),
            None => terms,
        };
        let clients = servers.iter().map(|server| {
            let place = server.addr().clone().into_connection_info()?;
            Client::open(place.set_redis_settings(terms.clone()))
        });
        Ok(Self {
            clients: clients.collect::<RedisResult<_>>()?,
            primary: primary.to_owned(),
            server: servers.swap_remove(0),
        })
    }

    /// What the Sentinels call the primary.
    pub(super) fn primary(&self) -> &str {
        &self.primary
    }

    /// The number of the primary's database.
    pub(super) fn database(&self) -> i64 {
        self.server.redis_settings().db()
    }

    /// Who watches over what.
    pub(super) fn shown(&self) -> String {
        let places = self.clients.iter().map(Self::place).collect::<Vec<_>>();
        format!("{} (watched by {})", self.primary, places.join(", "))
    }

    fn place(client: &Client) -> String {
        client.get_connection_info().addr().to_string()
    }

    /// Asks all of them where the primary is, with this password if they have one. One that was cut off from the others may not have noticed a fail-over: the one that
    /// has seen the latest is right.
    pub(super) async fn find(
        &self,
        password: Option<&str>,
        timeout: Duration,
    ) -> Result<ConnectionInfo, RedisStartError> {
        let asked = self.clients.iter().map(|client| async move {
            let answer =
                tokio::time::timeout(PATIENCE.min(timeout), self.ask(client, password)).await;
            let silent = RedisStartError::Silent {
                address: Self::place(client),
            };
            answer.unwrap_or(Err(silent))
        });
        let (mut newest, mut knows_another, mut failed) = (None::<Opinion>, false, None);
        for answer in join_all(asked).await {
            match answer {
                Ok(Some(opinion)) => {
                    let epoch = opinion.config_epoch;
                    if newest
                        .as_ref()
                        .is_none_or(|newest| newest.config_epoch < epoch)
                    {
                        newest = Some(opinion);
                    }
                }
                Ok(None) => knows_another = true,
                Err(error) => failed = Some(error),
            }
        }
        match (newest, failed) {
            (Some(Opinion { host, port, .. }), _) => Ok(elsewhere(&self.server, host, port)),
            (None, Some(error)) if !knows_another => Err(error.of_sentinel()),
            (None, _) => Err(RedisStartError::NoSuchPrimary {
                address: self.shown(),
            }),
        }
    }

    /// Where a Sentinel thinks that the primary is, if it knows one of that name.
    async fn ask(
        &self,
        client: &Client,
        password: Option<&str>,
    ) -> Result<Option<Opinion>, RedisStartError> {
        let refused = |error| RedisStartError::of(error, Self::place(client));
        let info = with_password(client.get_connection_info().clone(), password);
        let client = &Client::open(info).map_err(refused)?;
        let mut connection = connect_to_ask(client).await.map_err(refused)?;
        let mut where_is = redis::cmd("SENTINEL");
        where_is.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        let place: Option<(String, u16)> = where_is
            .query_async(&mut connection)
            .await
            .map_err(refused)?;
        let Some((host, port)) = place else {
            return Ok(None);
        };
        let mut details = redis::cmd("SENTINEL");
        details.arg("MASTER").arg(&self.primary);
        let details: HashMap<String, String> = details
            .query_async(&mut connection)
            .await
            .map_err(refused)?;
        let config_epoch = details.get("config-epoch");
        Ok(Some(Opinion {
            host,
            port,
            config_epoch: config_epoch.and_then(|text| text.parse().ok()).unwrap_or(0),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_are_read_from_a_url() {
        let url = "redis+sentinel://me:secret@10.0.0.1,[::1],10.0.0.2:5000/main/2";
        let sentinels = Sentinels::parse(url, None, None).unwrap();
        assert_eq!(
            sentinels.shown(),
            "main (watched by 10.0.0.1:26379, ::1:26379, 10.0.0.2:5000)"
        );
        assert_eq!(sentinels.database(), 2);
        let bad = [
            "redis+sentinel://",
            "redis+sentinel://a:1",
            "redis+sentinel://a:1/",
            "redis+sentinel:///main",
        ];
        for url in bad {
            assert!(Sentinels::parse(url, None, None).is_err(), "{url}");
        }
    }
}
