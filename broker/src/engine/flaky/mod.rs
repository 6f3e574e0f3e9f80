//! An engine for tests that does what one in the network may do: it fails, takes its time, loses answers, and has several nodes on one
//! store, to which messages come late, twice or not at all.
//!
//! What it never does, because no engine may: it gives back no wrong answer, delivers no message out of order but repetitions, and does
//! not lose a message without saying so in the end ([`FlakyDelivery`]). Changes of presence always arrive, because nobody can ask for
//! them later. Announcements are in the store, and other nodes are not told of them.

mod delivery;
mod store;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use widecast_protocol::{ChannelName, Position};

use super::deadline::timeout;
pub(crate) use delivery::{FlakyDelivery, Passage};
pub(crate) use store::FlakyStore;

use super::{
    Announcement, Announcements, ChannelInfo, ChannelQuery, ConnectionId, Directory, EngineError,
    EngineFigures, EngineFuture, HistoryLimits, HistoryPage, HistoryQuery, Interest, Lifecycle,
    MemberList, MemberQuery, MemberStore, MessageLog, Portion, PresenceEntry, Publication,
    Published, Replay,
};

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The engine cannot be reached.
    Fails,
    /// It does what it was asked, and its answer is lost.
    LosesAnswer,
    /// It waits for [`FlakyEngine::go_on`] before it does what it was asked.
    WaitsBefore,
    /// It waits for [`FlakyEngine::go_on`] before it answers.
    WaitsBehind,
    /// It does not answer in time.
    Hangs,
    /// Others run so many times before it does what it was asked, and before it answers.
    Slow(usize, usize),
}

/// The fault at the call of this name, if it has one.
type Faults = Box<dyn FnMut(&'static str) -> Option<Fault> + Send>;

/// How long it may take for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A node of a [`FlakyStore`], with faults.
pub(crate) struct FlakyEngine {
    pub(crate) store: Arc<FlakyStore>,
    /// The way of messages to the node.
    pub(crate) delivery: Arc<FlakyDelivery>,
    faults: Mutex<Faults>,
    /// The engine has come to where it waits.
    pub(crate) reached: Notify,
    /// The engine goes on.
    pub(crate) go_on: Notify,
}

impl FlakyEngine {
    fn new(store: Arc<FlakyStore>, delivery: Arc<FlakyDelivery>) -> Self {
        Self {
            store,
            delivery,
            faults: Mutex::new(Box::new(|_| None)),
            reached: Notify::new(),
            go_on: Notify::new(),
        }
    }

    /// From now on it has these faults.
    pub(crate) fn set_faults(
        &self,
        faults: impl FnMut(&'static str) -> Option<Fault> + Send + 'static,
    ) {
        *self.faults.lock().unwrap() = Box::new(faults);
    }

    /// From now on all calls of this name wait for [`Self::let_go`]. Says how many there were.
    pub(crate) fn hold_up(&self, name: &'static str) -> Arc<AtomicUsize> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        self.set_faults(move |call| {
            (call == name).then(|| {
                counted.fetch_add(1, Ordering::Relaxed);
                Fault::WaitsBefore
            })
        });
        calls
    }

    /// All calls that wait go on, and no further one has a fault.
    pub(crate) fn let_go(&self) {
        self.set_faults(|_| None);
        self.go_on.notify_waiters();
    }

    fn meet<'a, T: Send + 'a>(
        &'a self,
        call: &'static str,
        answer: EngineFuture<'a, T>,
    ) -> EngineFuture<'a, T> {
        Box::pin(async move {
            let fault = self.faults.lock().unwrap()(call);
            match fault {
                Some(Fault::Fails) => Err(EngineError::unavailable("no answer")),
                Some(Fault::LosesAnswer) => {
                    let _ = answer.await;
                    Err(EngineError::unavailable("the answer was lost"))
                }
                Some(Fault::Hangs) => {
                    let _ = timeout(PATIENCE, std::future::pending::<()>()).await;
                    Err(EngineError::unavailable("no answer in time"))
                }
                Some(Fault::WaitsBefore) => {
                    self.wait().await;
                    answer.await
                }
                Some(Fault::WaitsBehind) => {
                    let answer = answer.await;
                    self.wait().await;
                    answer
                }
                Some(Fault::Slow(before, behind)) => {
                    let_others_run(before).await;
                    let answer = answer.await;
                    let_others_run(behind).await;
                    answer
                }
                None => answer.await,
            }
        })
    }

    async fn wait(&self) {
        self.reached.notify_one();
        self.go_on.notified().await;
    }
}

async fn let_others_run(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

impl MessageLog for FlakyEngine {
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published> {
        let published = async {
            let mut published = self.store.memory.publish(publication).await?;
            if !published.duplicate {
                // The store counts those of all nodes.
                published.subscribers = self.delivery.subscribers();
            }
            Ok(published)
        };
        self.meet("publish", Box::pin(published))
    }

    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position> {
        self.meet("position", self.store.memory.position(channel, limits))
    }

    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay> {
        self.meet("replay", self.store.memory.replay(channel, since, portion))
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage> {
        self.meet("history", self.store.memory.history(channel, query))
    }
}

impl MemberStore for FlakyEngine {
    fn enter<'a>(&'a self, channel: &'a ChannelName, entry: PresenceEntry) -> EngineFuture<'a, ()> {
        self.meet("enter", self.store.memory.enter(channel, entry))
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        connection: ConnectionId,
    ) -> EngineFuture<'a, ()> {
        self.meet("exit", self.store.memory.exit(channel, connection))
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: &'a MemberQuery,
    ) -> EngineFuture<'a, MemberList> {
        self.meet("members", self.store.memory.members(channel, query))
    }
}

impl Interest for FlakyEngine {
    fn interested<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()> {
        let heard = async {
            self.delivery.set_heard(channel, true);
            self.store.memory.interested(channel).await
        };
        self.meet("interested", Box::pin(heard))
    }

    fn uninterested(&self, channel: &ChannelName) {
        self.delivery.set_heard(channel, false);
        if !self.store.is_heard(channel) {
            self.store.memory.uninterested(channel);
        }
    }
}

impl Directory for FlakyEngine {
    fn channels(&self, query: ChannelQuery) -> EngineFuture<'_, Vec<ChannelName>> {
        self.meet("channels", self.store.memory.channels(query))
    }

    fn channel_info<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> EngineFuture<'a, Option<ChannelInfo>> {
        self.meet("channel_info", self.store.memory.channel_info(channel))
    }
}

impl Announcements for FlakyEngine {
    fn lease(&self) -> Option<Duration> {
        self.store.memory.lease()
    }

    fn announce(&self, announcement: Announcement, keep_for: Duration) -> EngineFuture<'_, ()> {
        self.meet(
            "announce",
            self.store.memory.announce(announcement, keep_for),
        )
    }

    fn announced(&self) -> EngineFuture<'_, Vec<Announcement>> {
        self.meet("announced", self.store.memory.announced())
    }
}

impl Lifecycle for FlakyEngine {
    fn patience(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    fn figures(&self) -> EngineFigures {
        self.store.memory.figures()
    }

    fn bound_history(&self, bytes: u64) {
        self.store.memory.bound_history(bytes);
    }

    fn health(&self) -> EngineFuture<'_, ()> {
        self.meet("health", self.store.memory.health())
    }

    fn close(&self) -> EngineFuture<'_, ()> {
        self.meet("close", self.store.memory.close())
    }
}
