//! The engine of one node whose messages outlive it: offsets, history and idempotency keys are in files.
//!
//! The newest messages are in memory, too, in a [`MemoryEngine`]: subscribers are served from there. One at a time writes, for all whose
//! publications wait: whoever publishes, or a thread where the disk may be waited for (`queue.rs`). They are written together, and only
//! then do they go into memory and to the subscribers. So nobody hears what could be lost, and a busy broker writes once for many messages.
//!
//! Presence is in memory alone: connections end with the process.

mod announced;
mod boot;
mod channel_record;
mod checkup;
mod company;
#[cfg(test)]
mod damage_tests;
mod directory;
mod error;
#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod handing_over_tests;
mod inventory;
mod journal_guard;
mod open_channels;
mod publisher_turn;
mod queue;
#[cfg(test)]
mod queue_tests;
mod reader;
mod settings;
mod shared;
mod space;
mod store;
mod store_batch;
#[cfg(test)]
mod tests;
mod unfinished;
mod upkeep;
mod used_key;
mod view;
mod waiting;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use widecast_protocol::{ChannelName, Position};

use crate::config::Durability;

use super::{
    ChannelInfo, ChannelQuery, Clock, ConnectionId, Deliver, Directory, EngineError, EngineFigures,
    EngineFuture, HistoryLimits, HistoryOrder, HistoryPage, HistoryQuery, Interest, Lifecycle,
    MemberList, MemberQuery, MemberStore, MemoryEngine, MessageLog, Portion, PresenceEntry,
    Publication, Published, Replay,
};
pub use error::DiskError;
use publisher_turn::{HEAVY_BYTES, PublisherTurn};
use queue::{Request, WriteQueue};
pub use settings::DiskSettings;
use shared::Shared;
use store::Store;

/// Keeps messages in files.
pub struct DiskEngine {
    shared: Arc<Shared>,
    queue: Arc<WriteQueue>,
}

impl fmt::Debug for DiskEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskEngine")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl DiskEngine {
    /// Looks whether the directory of the files can be used, without making or opening anything.
    ///
    /// # Errors
    /// When it cannot, saying why.
    pub fn check(path: &Path) -> Result<(), DiskError> {
        directory::check(path)
    }

    /// Opens the files, or makes them, and starts the thread that writes. Somebody has to run [`MemoryEngine::run_upkeep`] of
    /// [`DiskEngine::memory`].
    ///
    /// # Errors
    /// When the files cannot be used, or the system gives no thread.
    pub fn open(
        settings: DiskSettings,
        clock: Arc<dyn Clock>,
        deliver: Arc<dyn Deliver>,
    ) -> Result<Self, DiskError> {
        let store = Store::open(&settings)?;
        let shared = Shared::new(settings, store, clock, deliver)?;
        let queue = writer::start(&shared)
            .map_err(|source| DiskError::of(&shared.settings.path, source))?;
        Ok(Self { shared, queue })
    }

    /// The part of the engine that is in memory.
    pub fn memory(&self) -> &Arc<MemoryEngine> {
        &self.shared.memory
    }

    /// Makes sure that the channel is in memory.
    async fn hold(&self, channel: &ChannelName) -> Result<(), EngineError> {
        if self.shared.memory.knows(channel) {
            return Ok(());
        }
        let channel = channel.clone();
        self.aside(move |shared| shared.hold(&channel)).await
    }

    /// Does what may wait for the disk beside the worker threads.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let shared = Arc::clone(&self.shared);
        match spawn_blocking(move || work(&shared)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(EngineError::unavailable(error)),
        }
    }
}

impl Drop for DiskEngine {
    fn drop(&mut self) {
        // It may have been closed before.
        let _ = self.queue.ask(Request::End);
    }
}

impl MessageLog for DiskEngine {
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published> {
        Box::pin(async move {
            let is_heavy = publication.payload.size_bytes() > HEAVY_BYTES;
            let waits_for_disk = self.shared.settings.durability == Durability::Power;
            let answer = self.queue.add(publication)?;
            if is_heavy || waits_for_disk {
                self.queue.call_thread();
            } else {
                PublisherTurn(&self.queue).write().await;
            }
            match answer.await {
                Ok(answer) => answer,
                Err(_) => Err(EngineError::unavailable("the engine has been closed")),
            }
        })
    }

    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position> {
        Box::pin(async move {
            self.hold(channel).await?;
            self.shared.memory.position(channel, limits).await
        })
    }

    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay> {
        Box::pin(async move {
            self.hold(channel).await?;
            let replay = self.shared.memory.replay(channel, since, portion).await?;
            let end = replay.position;
            if replay.recovered || since.epoch != end.epoch || since.offset > end.offset {
                return Ok(replay);
            }
            let channel = channel.clone();
            let read = move |shared: &Shared| reader::replay(shared, &channel, since, portion);
            self.aside(read).await
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage> {
        Box::pin(async move {
            self.hold(channel).await?;
            let memory = &self.shared.memory;
            let page = memory.history(channel, query).await?;
            let info = memory.channel_info(channel).await?;
            let Some(info) = info else {
                return Ok(page);
            };
            // Every message that there ever was, all that came after a place, or as many as were asked for.
            let has_all = info.history_messages == info.position.offset.0;
            let goes_on = query.order == HistoryOrder::OldestFirst && query.since.is_some();
            let is_full = page.messages.len() == query.limit;
            if has_all || (page.recovered && (goes_on || is_full)) {
                return Ok(page);
            }
            let channel = channel.clone();
            self.aside(move |shared| reader::page(shared, &channel, query))
                .await
        })
    }
}

impl MemberStore for DiskEngine {
    fn enter<'a>(&'a self, channel: &'a ChannelName, entry: PresenceEntry) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.hold(channel).await?;
            self.shared.memory.enter(channel, entry).await
        })
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        connection: ConnectionId,
    ) -> EngineFuture<'a, ()> {
        self.shared.memory.exit(channel, connection)
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: &'a MemberQuery,
    ) -> EngineFuture<'a, MemberList> {
        self.shared.memory.members(channel, query)
    }
}

impl Interest for DiskEngine {
    fn interested<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.hold(channel).await?;
            self.shared.memory.interested(channel).await
        })
    }

    fn uninterested(&self, channel: &ChannelName) {
        self.shared.memory.uninterested(channel);
    }
}

impl Directory for DiskEngine {
    fn channels(&self, query: ChannelQuery) -> EngineFuture<'_, Vec<ChannelName>> {
        Box::pin(async move {
            let mut channels = self.shared.memory.channels(query.clone()).await?;
            let limit = query.limit;
            let on_disk = self.aside(move |shared| reader::channels(shared, &query));
            channels.extend(on_disk.await?);
            channels.sort_unstable();
            channels.dedup();
            channels.truncate(limit);
            Ok(channels)
        })
    }

    fn channel_info<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> EngineFuture<'a, Option<ChannelInfo>> {
        Box::pin(async move {
            let held = self.shared.memory.channel_info(channel).await?;
            let channel = channel.clone();
            self.aside(move |shared| reader::info(shared, &channel, held))
                .await
        })
    }
}

impl Lifecycle for DiskEngine {
    fn figures(&self) -> EngineFigures {
        EngineFigures {
            writes: Some(self.queue.figures()),
            ..self.shared.figures()
        }
    }

    fn bound_history(&self, bytes: u64) {
        self.shared.memory.bound_history(bytes);
    }

    fn health(&self) -> EngineFuture<'_, ()> {
        Box::pin(async move { self.shared.health() })
    }

    fn close(&self) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            if self.queue.ask(Request::Close(reply)).is_err() {
                return Ok(());
            }
            match answer.await {
                Ok(answer) => answer,
                // It has been closed before.
                Err(_) => Ok(()),
            }
        })
    }
}
