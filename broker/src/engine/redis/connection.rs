//! Two connections to a server: one for commands, one on which this node hears.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo,
    ProtocolVersion, PushInfo, RedisError, RedisResult, ServerErrorKind,
};
use tokio::sync::Notify;

use super::error::RedisStartError;
use super::scripts::Scripts;
use super::settings::RedisSettings;

/// The oldest server whose commands are enough: `XTRIM … MINID`.
const OLDEST_VERSION: (u32, u32) = (6, 2);

/// How many commands wait inside of the client for their turn to be written.
const WRITE_QUEUE: usize = 1024;

/// Where the server is.
#[derive(Debug)]
pub(super) struct Address {
    client: Client,
    timeout: Duration,
    trust_persistence: bool,
}

/// One process of the server, while it is connected.
pub(super) struct Server {
    pub(super) commands: MultiplexedConnection,
    /// On which topics are heard.
    pub(super) topics: MultiplexedConnection,
    /// Which process it is; nothing when its data are trusted to outlive it.
    pub(super) process: String,
    /// Told when one of the connections is of no use any more.
    pub(super) broken: Arc<Notify>,
}

impl Address {
    /// Reads the settings.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, RedisStartError> {
        let info = settings.url.as_str().into_connection_info();
        let info = info.map_err(|source| RedisStartError::Url { source })?;
        // It brings what is heard at any time, on a connection that takes other commands, too.
        let mut terms = info.redis_settings().clone();
        terms = terms.set_protocol(ProtocolVersion::RESP3);
        if let Some(path) = &settings.password_file {
            let password = std::fs::read_to_string(path);
            let password = password.map_err(|source| RedisStartError::PasswordFile {
                path: path.clone(),
                source,
            })?;
            terms = terms.set_password(password.trim());
        }
        let info = info.set_redis_settings(terms);
        let client = Client::open(info).map_err(|source| RedisStartError::Url { source })?;
        Ok(Self {
            client,
            timeout: settings.timeout,
            trust_persistence: settings.trust_persistence,
        })
    }

    /// The number of the database.
    pub(super) fn database(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    /// Where the server is, without a password.
    pub(super) fn shown(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// Connects, and looks whether the server can do what is needed.
    pub(super) async fn connect(
        &self,
        scripts: &Scripts,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Server, RedisStartError> {
        let connecting = self.connect_now(scripts, hear);
        let connected = tokio::time::timeout(self.timeout, connecting).await;
        connected.unwrap_or_else(|_| {
            Err(RedisStartError::Silent {
                address: self.shown(),
            })
        })
    }

    async fn connect_now(
        &self,
        scripts: &Scripts,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Server, RedisStartError> {
        let broken = Arc::new(Notify::new());
        let open = async |hear: Box<dyn Fn(PushInfo) + Send + Sync>| {
            let broken = Arc::clone(&broken);
            let pushed = move |push: PushInfo| {
                if push.kind == redis::PushKind::Disconnection {
                    broken.notify_one();
                } else {
                    hear(push);
                }
                Ok::<(), std::convert::Infallible>(())
            };
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None)
                .set_pipeline_buffer_size(WRITE_QUEUE)
                .set_push_sender(pushed);
            let opened = self
                .client
                .get_multiplexed_async_connection_with_config(&config);
            opened.await
        };
        let refused = |error| RedisStartError::of(error, self.shown());
        let mut commands = open(Box::new(|_| {})).await.map_err(refused)?;
        let topics = open(Box::new(hear)).await.map_err(refused)?;
        let process = self.look_at(&mut commands).await?;
        load(scripts, &mut commands).await.map_err(refused)?;
        Ok(Server {
            commands,
            topics,
            process,
            broken,
        })
    }

    /// Which process of the server it is.
    async fn look_at(
        &self,
        commands: &mut MultiplexedConnection,
    ) -> Result<String, RedisStartError> {
        let refused = |error| RedisStartError::of(error, self.shown());
        let info: redis::InfoDict = redis::cmd("INFO")
            .query_async(commands)
            .await
            .map_err(refused)?;
        let version: String = info.get("redis_version").unwrap_or_default();
        if !is_new_enough(&version) {
            return Err(RedisStartError::TooOld {
                address: self.shown(),
                version,
            });
        }
        if info
            .get::<String>("role")
            .is_some_and(|role| role != "master")
        {
            return Err(RedisStartError::Replica {
                address: self.shown(),
            });
        }
        if self.trust_persistence {
            return Ok(String::new());
        }
        let process: Option<String> = info.get("run_id");
        process.ok_or_else(|| RedisStartError::Nameless {
            address: self.shown(),
        })
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST_VERSION
}

/// Loads the scripts into the server, so that they can be called by their hash.
pub(super) async fn load(
    scripts: &Scripts,
    commands: &mut MultiplexedConnection,
) -> RedisResult<()> {
    for script in scripts.all() {
        script.load_async(commands).await?;
    }
    Ok(())
}

impl Server {
    /// Sends a command and waits for its answer.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let answer = command.query_async(&mut self.commands.clone()).await;
        if answer.as_ref().is_err_and(has_lost_its_server) {
            self.broken.notify_one();
        }
        answer
    }

    /// Whether both connections answer.
    pub(super) async fn ping(&self) -> RedisResult<()> {
        let ping = redis::cmd("PING");
        ping.query_async::<()>(&mut self.commands.clone()).await?;
        ping.query_async::<()>(&mut self.topics.clone()).await
    }
}

/// Whether another connection may help: the connection is cut, or the server has no say any more.
pub(super) fn has_lost_its_server(error: &RedisError) -> bool {
    let of_server = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown
        )
    );
    of_server || error.is_unrecoverable_error() || error.is_io_error()
}

#[cfg(test)]
mod tests {
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
}
