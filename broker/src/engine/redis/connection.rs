//! Two connections to a server: one for commands, one on which this node hears.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, InfoDict,
    Pipeline, PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::Notify;

use super::error::RedisStartError;
use super::keys::Keys;
use super::placement::mark;
use super::replicas::Replicas;
use super::scripts::Scripts;
use super::settings::RedisSettings;
use super::suitability::{check, is_primary, taken_over_from, try_everything};
use super::tenure::JoinedTenure;
use super::topology::Topology;

/// How many commands wait inside of the client for their turn to be written.
const WRITE_QUEUE: usize = 1024;

/// A connection on which something is not allowed any more is given up if it is older than this; not at once, in case the next one is
/// allowed everything that is tried, and not that.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// One process of the server, while it is connected.
pub(super) struct Server {
    pub(super) commands: MultiplexedConnection,
    /// On which topics are heard, until the server is given up.
    topics: Mutex<Option<MultiplexedConnection>>,
    ear: Arc<Ear>,
    /// What replicas have, where somebody asks for that.
    pub(super) replicas: Option<Replicas>,
    /// Which process it is; nothing when its data are trusted to outlive it.
    pub(super) process: String,
    taken_over_from: Option<String>,
    /// Where it has a part of a cluster.
    pub(super) tenure: Option<JoinedTenure>,
    pub(super) place: ConnectionAddr,
    begun: Instant,
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
            kept_topic: keys.announcements_topic().to_owned(),
        };
        let connecting = async {
            let mut server = opening.connect(hear).await?;
            let refused = |error| RedisStartError::of(error, place.to_string());
            opening.look_at(self, &mut server).await?;
            load(scripts, &server.commands).await.map_err(refused)?;
            if settings.replicas > 0 {
                let connection = opening.open(Box::new(|_| {})).await.map_err(refused)?;
                let (count, timeout) = (settings.replicas, settings.replicas_wait);
                let replicas = Replicas::new(connection, keys.replicas(), count, timeout);
                server.replicas = Some(replicas);
            }
            if let Some(part) = self.part() {
                let joined = part.tenure.join(&mut server, keys, scripts).await;
                joined.map_err(refused)?;
            }
            let tried = try_everything(&mut server, self.pubsub(), keys, scripts);
            tried.await.map_err(refused)?;
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

/// Whether what a connection brings is still heard.
#[derive(Debug, Default)]
struct Ear {
    is_shut: Mutex<bool>,
}

impl Ear {
    fn hear(&self, hear: impl FnOnce()) {
        let is_shut = self.is_shut.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_shut {
            hear();
        }
    }

    /// Nothing more is heard, and nothing is being heard, when this returns.
    fn shut(&self) {
        *self.is_shut.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// A server that is being connected to.
struct Opening {
    client: Client,
    place: String,
    broken: Arc<Notify>,
    /// The topic that is subscribed to for as long as there is a connection.
    kept_topic: String,
}

impl Opening {
    async fn open(
        &self,
        hear: Box<dyn Fn(PushInfo) + Send + Sync>,
    ) -> RedisResult<MultiplexedConnection> {
        let (broken, kept_topic) = (Arc::clone(&self.broken), self.kept_topic.clone());
        let pushed = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection || has_lost_topic(&push, &kept_topic) {
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
        let ear = Arc::new(Ear::default());
        let its_ear = Arc::clone(&ear);
        let hear = Box::new(move |push| its_ear.hear(|| hear(push)));
        Ok(Server {
            commands: self.open(Box::new(|_| {})).await.map_err(refused)?,
            topics: Mutex::new(Some(self.open(hear).await.map_err(refused)?)),
            ear,
            replicas: None,
            process: String::new(),
            taken_over_from: None,
            tenure: None,
            place: self.client.get_connection_info().addr().clone(),
            begun: Instant::now(),
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
        let process: Option<String> = info.get("run_id");
        let ended = topology
            .given_up
            .end_all_before(process.as_deref(), &mut server.commands);
        ended.await.map_err(refused)?;
        if topology.trust_persistence {
            return Ok(());
        }
        server.process = process.ok_or_else(|| RedisStartError::Nameless {
            address: self.place.clone(),
        })?;
        if let Some(before) = &server.taken_over_from {
            server.process = format!("{}+{before}", server.process);
        }
        Ok(())
    }
}

/// Loads the scripts into the server, so that they can be called by their hash. All at once: where the server is far away, one answer
/// after the other would take longer than the deadline.
pub(super) async fn load(scripts: &Scripts, commands: &MultiplexedConnection) -> RedisResult<()> {
    let loading = scripts.all().map(|script| async move {
        let mut commands = commands.clone();
        script.load_async(&mut commands).await
    });
    try_join_all(loading).await.map(drop)
}

impl Server {
    /// Sends a command and waits for its answer.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        self.looked_at(command.query_async(&mut self.commands.clone()).await)
    }

    /// Sends several commands and waits for their answers.
    pub(super) async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        self.looked_at(commands.query_async(&mut self.commands.clone()).await)
    }

    /// The connection on which topics are heard.
    ///
    /// # Errors
    /// When the server has been given up.
    pub(super) fn topics(&self) -> RedisResult<MultiplexedConnection> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.clone().ok_or_else(|| {
            RedisError::from(std::io::Error::other("the connection has been given up"))
        })
    }

    /// The server is given up: nothing that it tells is heard any more. Whoever still waits for an answer keeps this, and what was heard
    /// then would be heard twice, once on the next connection.
    pub(super) fn give_up(&self) {
        self.ear.shut();
        // The connection ends with the last of its handles.
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.take();
    }

    /// Sends several commands and waits for their answers, of which each may be a failure.
    pub(super) async fn ask_each<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> RedisResult<Vec<RedisResult<T>>> {
        let answers: Vec<RedisResult<T>> = self.ask_all(commands).await?;
        let answers = answers.into_iter().map(|answer| self.looked_at(answer));
        Ok(answers.collect())
    }

    fn looked_at<T>(&self, answer: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &answer
            && (has_lost_its_server(error) || self.is_not_allowed_any_more(error))
        {
            self.broken.notify_one();
        }
        answer
    }

    /// Whether the user may do less than when the connection began. The next connection finds out what is missing; meanwhile the broker is
    /// not ready. What a script has done before it was refused is read afterwards.
    fn is_not_allowed_any_more(&self, error: &RedisError) -> bool {
        // What a command in a script is refused with, by Redis and by Valkey.
        const IN_SCRIPTS: [&str; 3] = ["user executing the script", "has no permissions", "NOPERM"];
        let is_refused = error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
            || error
                .detail()
                .is_some_and(|detail| IN_SCRIPTS.iter().any(|text| detail.contains(text)));
        is_refused && self.begun.elapsed() > SETTLED_AFTER
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
        if let Some(tenure) = &self.tenure
            && !tenure.lasts(self).await?
        {
            return Err(RedisError::from(std::io::Error::other(
                "it has lost this part of the cluster, or had lost it meanwhile",
            )));
        }
        let ping = redis::cmd("PING");
        ping.query_async::<()>(&mut self.topics()?).await
    }
}

/// Whether a node of a cluster says that it has no longer the slot of a topic.
fn has_lost_topic(push: &PushInfo, topic: &str) -> bool {
    let first = push.data.first();
    push.kind == PushKind::SUnsubscribe
        && matches!(first, Some(Value::BulkString(found)) if found == topic.as_bytes())
}

/// Whether another connection may help: the connection is cut, or the server has no say any more.
pub(super) fn has_lost_its_server(error: &RedisError) -> bool {
    let of_server = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::Moved
                | ServerErrorKind::ClusterDown
        )
    );
    of_server || error.is_unrecoverable_error() || error.is_io_error()
}

/// Whether the node of a cluster has not even begun, because it has the keys no longer.
pub(super) fn has_not_begun(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ClusterDown)
    )
}

/// Whether the node of a cluster has not even begun, because the keys are on their way to another.
pub(super) fn keys_are_moving(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::Ask | ServerErrorKind::TryAgain)
    )
}
