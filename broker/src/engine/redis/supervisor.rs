//! Keeps the connections to the server: connects, subscribes to topics, and does so again when they are lost.
//!
//! After a loss, the topics are subscribed to again first; then the channels are compared with how far they had been heard, and
//! only those that have moved are read.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{RedisError, RedisResult};
use widecast_protocol::error::chain;
use widecast_protocol::{ChannelName, Epoch, Offset, Position};

use super::Shared;
use super::connection::Server;
use super::error::RedisStartError;
use super::listening::Need;
use super::topology::Topology;
use super::wire::Number;
use crate::engine::retry_intervals;

/// How many topics are subscribed to, or compared, with one command.
const TOPICS_AT_ONCE: usize = 512;

/// The shortest and the longest interval between two attempts to connect; half of it is left to chance.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);

/// Connects once.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    topology: &Topology,
) -> Result<Arc<Server>, RedisStartError> {
    // The connection must not keep the engine alive.
    let engine = Arc::downgrade(shared);
    let hear = move |push| {
        if let Some(engine) = engine.upgrade() {
            engine.pushed(&push);
        }
    };
    let (settings, scripts) = (&shared.settings, &shared.link.scripts);
    let connecting = topology.connect(settings, &shared.keys, scripts, hear);
    let server = connecting.await?;
    let refused = |error| RedisStartError::of(error, topology.shown());
    let agreement = shared.agreement();
    let said = async {
        shared.clock.begin(&server).await?;
        server.ask(&agreement).await
    };
    let silent = |_| RedisStartError::Silent {
        address: topology.shown(),
    };
    let said = tokio::time::timeout(topology.timeout, said).await;
    let said = said.map_err(silent)?.map_err(refused)?;
    shared
        .agrees(said)
        .map_err(|theirs| RedisStartError::Disagreement {
            address: topology.shown(),
            ours: shared.servers().to_owned(),
            theirs,
        })?;
    Ok(Arc::new(server))
}

/// Keeps a connection for as long as the engine is there.
pub(super) async fn run(shared: Arc<Shared>, topology: Topology, first: Option<Arc<Server>>) {
    let mut next = first;
    let mut was_connected = false;
    let mut process = String::new();
    loop {
        let server = match next.take() {
            Some(server) => server,
            None => connect_at_last(&shared, &topology).await,
        };
        if std::mem::replace(&mut was_connected, true) {
            shared.link.figures.reconnected();
            tracing::info!(
                "connected to the Redis server at {} again",
                topology.shown()
            );
        }
        shared.link.set(Some(Arc::clone(&server)));
        let is_other = std::mem::replace(&mut process, server.process.clone()) != server.process;
        let lost = serve(&shared, &topology, &server, is_other).await;
        shared.is_ready.store(false, Ordering::Release);
        shared.link.set(None);
        server.give_up();
        shared.listening.cut();
        let reason = lost.map_or_else(String::new, |error| format!(": {error}"));
        tracing::warn!(
            "the connection to the Redis server at {} is lost{reason}",
            topology.shown()
        );
    }
}

async fn connect_at_last(shared: &Arc<Shared>, topology: &Topology) -> Arc<Server> {
    let mut intervals = retry_intervals(SHORTEST_INTERVAL, LONGEST_INTERVAL);
    let mut said = String::new();
    loop {
        match connect(shared, topology).await {
            Ok(server) => return server,
            Err(error) => {
                let interval = intervals.next().unwrap_or(LONGEST_INTERVAL);
                let before = std::mem::replace(&mut said, chain(&error));
                // Nobody learns anything from the same words again and again.
                if before != said {
                    tracing::warn!("{said}; it is tried again and again");
                }
                tokio::time::sleep(interval).await;
            }
        }
    }
}

/// Uses a connection until it is lost.
async fn serve(
    shared: &Shared,
    topology: &Topology,
    server: &Server,
    is_other_process: bool,
) -> Option<RedisError> {
    let moved = topology.until_moved(&server.place, shared.settings.heartbeat());
    tokio::pin!(moved);
    let mut topics = Topics {
        shared,
        server,
        heard: HashSet::new(),
        hears_announcements: false,
        until_all_are_here: if is_other_process {
            shared.settings.lease
        } else {
            Duration::ZERO
        },
    };
    let mut heartbeat = shared.settings.heartbeats();
    let timeout = shared.settings.timeout;
    loop {
        let work = async {
            topics.attend().await?;
            shared.is_ready.store(true, Ordering::Release);
            tokio::select! {
                () = shared.listening.changes() => Ok(()),
                _ = heartbeat.tick() => {
                    let look = async {
                        server.ping().await?;
                        shared.clock.read(server).await
                    };
                    let answer = tokio::time::timeout(timeout, look).await;
                    answer.unwrap_or_else(|_| Err(silent()))
                }
            }
        };
        tokio::select! {
            () = server.broken.notified() => return None,
            () = &mut moved => return Some(RedisError::from(std::io::Error::other(
                "the Sentinels have made another server the primary",
            ))),
            done = work => if let Err(error) = done {
                return Some(error);
            },
        }
    }
}

fn silent() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

/// What the state of a channel has: its epoch, its offset, the process it is of, and the number of its newest change of members.
type State = (
    Option<Number>,
    Option<Number>,
    Option<String>,
    Option<Number>,
);

/// The topics that are subscribed to on a connection.
struct Topics<'a> {
    shared: &'a Shared,
    server: &'a Server,
    heard: HashSet<ChannelName>,
    hears_announcements: bool,
    /// How long others may take to tell the server who is here: it may have forgotten that.
    until_all_are_here: Duration,
}

impl Topics<'_> {
    /// Brings the topics up to date with the channels that are heard.
    async fn attend(&mut self) -> RedisResult<()> {
        if !self.hears_announcements {
            let subscribed = self.shared.hear_announcements(self.server);
            let subscribed = tokio::time::timeout(self.shared.settings.timeout, subscribed).await;
            subscribed.unwrap_or_else(|_| Err(silent()))?;
            self.hears_announcements = true;
        }
        loop {
            let changed = self.shared.listening.take_changed(TOPICS_AT_ONCE);
            if changed.is_empty() {
                return Ok(());
            }
            let timeout = self.shared.settings.timeout;
            let attended = tokio::time::timeout(timeout, self.attend_to(&changed)).await;
            attended.unwrap_or_else(|_| Err(silent()))?;
        }
    }

    async fn attend_to(&mut self, changed: &[ChannelName]) -> RedisResult<()> {
        let (mut new, mut old, mut compared) = (Vec::new(), Vec::new(), Vec::new());
        for channel in changed {
            match self.shared.listening.need(channel) {
                Need::Forget if self.heard.remove(channel) => old.push(channel),
                Need::Forget => continue,
                Need::Hear => {}
                Need::HearAndCompare(last) => compared.push((channel, last)),
            }
            if !self.heard.contains(channel) {
                new.push(channel);
            }
        }
        new.retain(|channel| !old.contains(channel));
        let topic = |channel: &&ChannelName| self.shared.keys.topic(channel);
        let (mut topics, pubsub) = (self.server.topics()?, self.shared.pubsub);
        if !old.is_empty() {
            let names: Vec<_> = old.iter().map(topic).collect();
            pubsub.unsubscribe(&mut topics, &names).await?;
        }
        if !new.is_empty() {
            let names: Vec<_> = new.iter().map(topic).collect();
            pubsub.subscribe(&mut topics, &names).await?;
            self.heard.extend(new.into_iter().cloned());
        }
        self.compare(&compared).await?;
        for channel in changed {
            if self.heard.contains(channel) {
                self.shared.listening.live(channel);
            }
        }
        Ok(())
    }

    /// Has those channels read that are not where they were when they were last heard.
    async fn compare(&self, channels: &[(&ChannelName, Option<Position>)]) -> RedisResult<()> {
        if channels.is_empty() {
            return Ok(());
        }
        let mut asked = redis::pipe();
        for (channel, _) in channels {
            let state = self.shared.keys.state(channel);
            asked.cmd("HMGET").arg(state).arg(&["e", "o", "s", "c"]);
        }
        let mut commands = self.server.commands.clone();
        let found: Vec<State> = asked.query_async(&mut commands).await?;
        for ((channel, last), (epoch, offset, process, change)) in channels.iter().zip(found) {
            let known = self.shared.listening.newest_change(channel);
            if known.is_some_and(|known| change.is_none_or(|change| change.0 != known)) {
                self.shared.doubt_members(channel, self.until_all_are_here);
            }
            if self.shared.is_ephemeral(channel) {
                continue;
            }
            let is_of_this_process = process.as_ref() == Some(&self.server.process);
            let position = epoch.zip(offset).filter(|_| is_of_this_process);
            let position = position.map(|(epoch, offset)| Position {
                epoch: Epoch(epoch.0),
                offset: Offset(offset.0),
            });
            if let Some(position) = position {
                self.shared.listening.compared(channel, *last, position);
            }
            if last.is_none() || position != *last {
                self.shared.link.figures.found_moved();
                self.shared.deliver.lost(channel);
            }
        }
        Ok(())
    }
}
