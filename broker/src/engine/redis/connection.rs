//! Two connections to a server: one for commands, one on which this node hears.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, InfoDict,
    PushInfo, RedisError, RedisResult, ServerErrorKind,
};
use tokio::sync::Notify;

use super::error::RedisStartError;
use super::keys::Keys;
use super::placement::mark;
use super::replicas::Replicas;
use super::scripts::Scripts;
use super::settings::RedisSettings;
use super::suitability::{check, is_primary, taken_over_from, try_everything};
use super::topology::Topology;

/// How many commands wait inside of the client for their turn to be written.
const WRITE_QUEUE: usize = 1024;

/// One process of the server, while it is connected.
pub(super) struct Server {
    pub(super) commands: MultiplexedConnection,
    /// On which topics are heard.
    pub(super) topics: MultiplexedConnection,
    /// What replicas have, where somebody asks for that.
    pub(super) replicas: Option<Replicas>,
    /// Which process it is; nothing when its data are trusted to outlive it.
    pub(super) process: String,
    taken_over_from: Option<String>,
    pub(super) place: ConnectionAddr,
    /// Told when one of the connections is of no use any more.
    pub(super) broken: Arc<Notify>,
}

impl Topology {
    /// Connects, and looks whether the server can do what is needed.
    pub(super) async fn connect(
        &self,
        settings: &RedisSettings,
        keys: &Keys,
        scripts: &Scripts,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Server, RedisStartError> {
        let client = self.find().await?;
        let place = client.get_connection_info().addr().clone();
        let opening = Opening {
            client,
            place: place.to_string(),
            broken: Arc::new(Notify::new()),
        };
        let connecting = async {
            let mut server = opening.connect(hear).await?;
            let refused = |error| RedisStartError::of(error, place.to_string());
            opening.look_at(self, &mut server).await?;
            load(scripts, &mut server.commands).await.map_err(refused)?;
            if settings.replicas > 0 {
                let connection = opening.open(Box::new(|_| {})).await.map_err(refused)?;
                let (count, timeout) = (settings.replicas, settings.replicas_wait);
                let replicas = Replicas::new(connection, keys.replicas(), count, timeout);
                server.replicas = Some(replicas);
            }
            try_everything(&mut server, keys, scripts)
                .await
                .map_err(refused)?;
            server.process.push_str(&mark(&settings.servers));
            Ok(server)
        };
        let connected = tokio::time::timeout(self.timeout, connecting).await;
        connected.unwrap_or_else(|_| {
            Err(RedisStartError::Silent {
                address: place.to_string(),
            })
        })
    }
}

/// A server that is being connected to.
struct Opening {
    client: Client,
    place: String,
    broken: Arc<Notify>,
}

impl Opening {
    async fn open(
        &self,
        hear: Box<dyn Fn(PushInfo) + Send + Sync>,
    ) -> RedisResult<MultiplexedConnection> {
        let broken = Arc::clone(&self.broken);
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
    }

    async fn connect(
        &self,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Server, RedisStartError> {
        let refused = |error| RedisStartError::of(error, self.place.clone());
        Ok(Server {
            commands: self.open(Box::new(|_| {})).await.map_err(refused)?,
            topics: self.open(Box::new(hear)).await.map_err(refused)?,
            replicas: None,
            process: String::new(),
            taken_over_from: None,
            place: self.client.get_connection_info().addr().clone(),
            broken: Arc::clone(&self.broken),
        })
    }

    /// Which process of the server it is.
    async fn look_at(
        &self,
        topology: &Topology,
        server: &mut Server,
    ) -> Result<(), RedisStartError> {
        let refused = |error| RedisStartError::of(error, self.place.clone());
        let info = redis::cmd("INFO").query_async(&mut server.commands).await;
        let info: InfoDict = info.map_err(refused)?;
        check(&info, topology, &self.place)?;
        let followers: usize = info.get("connected_slaves").unwrap_or_default();
        if followers < topology.replicas {
            tracing::warn!(
                "the Redis server at {} has {followers} replicas: publications are refused until it has {}, as `replicas_acknowledge` says",
                self.place,
                topology.replicas
            );
        }
        server.taken_over_from = taken_over_from(&info);
        if topology.trust_persistence {
            return Ok(());
        }
        let process: Option<String> = info.get("run_id");
        server.process = process.ok_or_else(|| RedisStartError::Nameless {
            address: self.place.clone(),
        })?;
        if let Some(before) = &server.taken_over_from {
            server.process = format!("{}+{before}", server.process);
        }
        Ok(())
    }
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

    /// Whether both connections answer, and the server is still the primary that it was.
    pub(super) async fn ping(&self) -> RedisResult<()> {
        let mut commands = self.commands.clone();
        let mut ask = redis::cmd("INFO");
        let info: InfoDict = ask.arg("replication").query_async(&mut commands).await?;
        if !is_primary(&info) || taken_over_from(&info) != self.taken_over_from {
            return Err(RedisError::from(std::io::Error::other(
                "it is not the primary any more, or has not been meanwhile",
            )));
        }
        let ping = redis::cmd("PING");
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
