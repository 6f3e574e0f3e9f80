//! The engine of several nodes: a Redis or Valkey server orders the channels, keeps their history and their members, and
//! tells each node what it has to hear.
//!
//! Each thing that has to be done in one step is a script (`scripts/*.lua`), which the server runs. A message is delivered on
//! every node, that of its publisher too, when it is heard on its channel's topic: so all have the server's order.
//! A message carries its epoch and offset; a hole is read from the history.
//!
//! Invariants:
//! - An epoch belongs to one process of the server (`channel.lua`). A server that was started from an older file begins new
//!   epochs: a gap is told, where a message would have been lost silently.
//! - Whatever is lost while nothing is heard is found when the topics are subscribed to again (`supervisor.rs`).
//! - A node that is no longer heard of loses its members (`upkeep.rs`).

mod announcing;
mod cluster;
mod cluster_parts;
mod connection;
mod directory;
mod ephemeral;
mod error;
mod figures;
mod given_up;
mod hosts;
mod keys;
mod link;
mod listener;
mod listening;
mod log;
mod members;
mod mending;
mod parts;
mod picture;
mod placement;
mod pubsub;
mod replicas;
mod roster_book;
mod scripts;
mod sentinels;
mod server_clock;
mod server_url;
mod settings;
mod several_servers;
mod soundness;
mod suitability;
mod supervisor;
mod tenure;
#[cfg(test)]
mod tests;
mod topology;
mod upkeep;
mod watching;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::task::JoinHandle;
use widecast_protocol::ChannelName;
use widecast_protocol::error::chain;

use super::{Deliver, EngineError, EngineFigures, EngineFuture, Interest, Lifecycle, ServerState};
use keys::Keys;
use link::Link;
use listening::Listening;
use pubsub::PubSub;
use roster_book::RosterBook;
use scripts::{CLOCK, Scripts};
use server_clock::ServerClock;
use topology::Topology;

pub use ephemeral::EphemeralChannels;
pub use error::RedisStartError;
pub use settings::RedisSettings;

/// What the tasks of the engine share.
struct Shared {
    settings: RedisSettings,
    keys: Keys,
    pubsub: PubSub,
    /// The name of this node, another one each time it starts.
    node: String,
    link: Link,
    clock: ServerClock,
    listening: Listening,
    book: RosterBook,
    deliver: Arc<dyn Deliver>,
    /// All topics are subscribed to.
    is_ready: AtomicBool,
    /// What the server is called.
    name: String,
}

/// Keeps everything on a server that several nodes share.
pub struct RedisEngine {
    shared: Arc<Shared>,
    supervisor: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEngine")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl Drop for RedisEngine {
    fn drop(&mut self) {
        self.supervisor.abort();
        self.upkeep.abort();
    }
}

impl RedisEngine {
    /// Connects to the server. One that is not there yet is waited for, while the engine is there already.
    ///
    /// # Errors
    /// When the server cannot be used and waiting does not help.
    pub async fn start(
        settings: RedisSettings,
        deliver: Arc<dyn Deliver>,
    ) -> Result<Self, RedisStartError> {
        let topology = Topology::new(&settings)?;
        Self::start_at(topology, settings, deliver, Scripts::new(CLOCK)).await
    }

    async fn start_at(
        topology: Topology,
        settings: RedisSettings,
        deliver: Arc<dyn Deliver>,
        scripts: Scripts,
    ) -> Result<Self, RedisStartError> {
        let shared = Arc::new(Shared {
            pubsub: topology.pubsub(),
            keys: Keys::new(&settings.key_prefix, topology.database()),
            node: format!("{:016x}", rand::random::<u64>()),
            link: Link::new(&settings, scripts),
            clock: ServerClock::default(),
            listening: Listening::default(),
            book: RosterBook::default(),
            deliver,
            is_ready: AtomicBool::new(false),
            name: topology.name().to_owned(),
            settings,
        });
        let first = match supervisor::connect(&shared, &topology).await {
            Ok(server) => Some(server),
            Err(error) if error.may_pass() => {
                tracing::warn!(
                    "{}; the broker starts without it and tries again",
                    chain(&error)
                );
                None
            }
            Err(error) => return Err(error),
        };
        let supervisor = supervisor::run(Arc::clone(&shared), topology, first);
        let upkeep = upkeep::run(Arc::clone(&shared));
        Ok(Self {
            supervisor: tokio::spawn(supervisor),
            upkeep: tokio::spawn(upkeep),
            shared,
        })
    }
}

impl Shared {
    /// What a connection brings without having been asked.
    fn pushed(&self, push: &PushInfo) {
        if !matches!(push.kind, PushKind::Message | PushKind::SMessage) {
            return;
        }
        let [Value::BulkString(topic), Value::BulkString(bytes)] = &*push.data else {
            return;
        };
        if topic == self.keys.announcements_topic().as_bytes() {
            self.announced(bytes);
        } else if let Some(channel) = self.keys.channel_of_topic(topic) {
            if let Some(generation) = wire::generation(bytes) {
                self.enter_anew_later(&channel, Some(generation));
                return;
            }
            let is_ephemeral = self.is_ephemeral(&channel);
            self.listening
                .hear(&channel, bytes, is_ephemeral, &*self.deliver);
        }
    }
}

impl Interest for RedisEngine {
    fn interested<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()> {
        self.shared.link.in_time(async move {
            let shared = &*self.shared;
            let heard = shared.listening.want(channel);
            let heard = shared.link.within_deadline(heard).await;
            match heard {
                Ok(Ok(())) => {
                    shared.list(channel).await?;
                    Ok(())
                }
                Ok(Err(_)) => Err(EngineError::unavailable(
                    "nobody hears the channel any more",
                )),
                Err(error) => {
                    shared.listening.unwant(channel);
                    Err(error)
                }
            }
        })
    }

    fn uninterested(&self, channel: &ChannelName) {
        self.shared.listening.unwant(channel);
    }
}

impl Lifecycle for RedisEngine {
    fn patience(&self) -> Option<Duration> {
        Some(self.shared.settings.timeout)
    }

    fn figures(&self) -> EngineFigures {
        let link = &self.shared.link;
        EngineFigures {
            channels: self.shared.listening.len() as u64,
            members: self.shared.book.len() as u64,
            server: Some(link.figures.with_waiting(link.waiting())),
            ..EngineFigures::default()
        }
    }

    fn servers(&self) -> Vec<ServerState> {
        vec![ServerState {
            name: self.shared.name.clone(),
            is_ready: self.shared.is_ready.load(Ordering::Acquire),
        }]
    }

    fn bound_history(&self, _: u64) {
        // None of it is in this process's memory.
    }

    fn close(&self) -> EngineFuture<'_, ()> {
        // It would renew the lease.
        self.upkeep.abort();
        Box::pin(self.shared.give_up_lease())
    }

    fn health(&self) -> EngineFuture<'_, ()> {
        Box::pin(async {
            self.shared.link.check()?;
            if self.shared.is_ready.load(Ordering::Acquire) {
                Ok(())
            } else {
                Err(EngineError::unavailable(
                    "not all channels are heard again after the connection was lost",
                ))
            }
        })
    }
}
