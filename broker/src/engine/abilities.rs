//! What an engine can do, an ability a trait.

use std::pin::Pin;
use std::time::Duration;

use widecast_protocol::{ChannelName, Position};

use super::{
    Announcement, ChannelInfo, ChannelQuery, ConnectionId, EngineError, EngineFigures,
    EngineFuture, HistoryLimits, HistoryPage, HistoryQuery, MemberList, MemberQuery, Portion,
    PresenceEntry, Publication, Published, Replay, ServerState, renew,
};

/// What will have become of messages of one channel.
pub type PublishedInOrder<'a> =
    Pin<Box<dyn Future<Output = Vec<Result<Published, EngineError>>> + Send + 'a>>;

/// Keeps the order, the history and the members of every channel: all abilities together.
pub trait Engine:
    MessageLog + MemberStore + Interest + Directory + Announcements + Lifecycle
{
}

impl<T: MessageLog + MemberStore + Interest + Directory + Announcements + Lifecycle> Engine for T {}

/// The messages of each channel, in one order for all nodes.
pub trait MessageLog: Send + Sync + 'static {
    /// Gives a message its place, keeps it, and hands it to [`super::Deliver`] before it answers.
    ///
    /// A publication whose idempotency key was used on the channel within the window is not published again: the answer
    /// has the first one's position and `duplicate`.
    ///
    /// # Errors
    /// When the engine cannot be reached; the message may have been published all the same.
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published>;

    /// Publishes messages of one channel, in their order; answers what has become of each, in the same order. One that is refused does not
    /// stop the others. An engine in the network sends them together: it would take the way there and back for each.
    ///
    /// # Errors
    /// As [`Self::publish`], of each.
    fn publish_in_order(&self, publications: Vec<Publication>) -> PublishedInOrder<'_> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(publications.len());
            for publication in publications {
                let outcome = self.publish(publication).await;
                if outcome.is_ok() {
                    // The next one has as long as all of them: only silence is not waited for again and again.
                    renew();
                }
                outcomes.push(outcome);
            }
            outcomes
        })
    }

    /// The channel's present end. A channel that did not exist begins here, and its epoch stays for a while even when nobody
    /// subscribes, so that a client that soon resumes from this position has missed nothing.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position>;

    /// The messages after `since`, up to a portion of them; or `recovered: false` when they cannot be given: `since` is of
    /// another epoch, has an offset that the channel has not reached, or lies further back than the history.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay>;

    /// One page of the history.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage>;
}

/// The members of each channel. The calls for one connection and channel come one after the other: the next when the one
/// before has been answered.
pub trait MemberStore: Send + Sync + 'static {
    /// A connection is here as a member. The first connection of a member is a join; so is one that changes the
    /// member's data. The same connection may enter again, with other data or as another member.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn enter<'a>(&'a self, channel: &'a ChannelName, entry: PresenceEntry) -> EngineFuture<'a, ()>;

    /// A connection is gone. When it was its member's last and none comes within the grace time, that is a leave.
    /// Nothing happens when the connection was not here.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        connection: ConnectionId,
    ) -> EngineFuture<'a, ()>;

    /// The members of a channel, page by page. A member that left less than the grace time ago is still among them.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: &'a MemberQuery,
    ) -> EngineFuture<'a, MemberList>;
}

/// The channels that have subscribers on this node. The registry counts the subscribers, and calls once per channel: the
/// calls for one channel come one after the other, and a repeated one changes nothing.
pub trait Interest: Send + Sync + 'static {
    /// Somebody on this node hears the channel: from the answer on, every message is delivered here.
    ///
    /// # Errors
    /// When the engine cannot be reached; it need not deliver then.
    fn interested<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()>;

    /// Nobody on this node hears the channel any more; it may be forgotten. This must not block.
    fn uninterested(&self, channel: &ChannelName);
}

/// The channels that the engine knows.
pub trait Directory: Send + Sync + 'static {
    /// The channels in use, in the order of their names: those with subscribers, members or history.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn channels(&self, query: ChannelQuery) -> EngineFuture<'_, Vec<ChannelName>>;

    /// What the engine holds of a channel; `None` when it does not know it.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn channel_info<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> EngineFuture<'a, Option<ChannelInfo>>;
}

/// What nodes tell one another besides messages.
pub trait Announcements: Send + Sync + 'static {
    /// For how long another node counts as running that is not heard of; nothing when no other node hears what is announced here.
    fn lease(&self) -> Option<Duration>;

    /// Whether other nodes may hear what is announced here.
    fn is_shared(&self) -> bool {
        self.lease().is_some()
    }

    /// Tells all other nodes that share the engine ([`super::Deliver::announced`]), and keeps the announcement for so long. One that
    /// is kept for no time takes away what is kept of its key. Nothing happens when a newer one of the same key is kept.
    ///
    /// # Errors
    /// When the engine cannot be reached; the others may have been told all the same.
    fn announce(&self, announcement: Announcement, keep_for: Duration) -> EngineFuture<'_, ()>;

    /// All announcements that are kept now, those of this node among them, in no order.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn announced(&self) -> EngineFuture<'_, Vec<Announcement>>;

    /// The same, but only those that other nodes find, too.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn announced_to_others(&self) -> EngineFuture<'_, Vec<Announcement>> {
        if self.is_shared() {
            self.announced()
        } else {
            Box::pin(async { Ok(Vec::new()) })
        }
    }
}

/// The engine itself: how it is, and what it holds.
pub trait Lifecycle: Send + Sync + 'static {
    /// How long the engine may take for an answer; nothing of one that always answers, however long it takes.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// The figures of what the engine holds.
    fn figures(&self) -> EngineFigures;

    /// The servers in the network that the engine asks, if it does so.
    fn servers(&self) -> Vec<ServerState> {
        Vec::new()
    }

    /// From now on the histories of all channels may take so many bytes of this process's memory together; the rest of them
    /// goes soon.
    fn bound_history(&self, bytes: u64);

    /// Whether the engine works now.
    ///
    /// # Errors
    /// When it does not, saying why.
    fn health(&self) -> EngineFuture<'_, ()>;

    /// The broker ends: the engine writes down what it has not written yet. Nothing is asked of it any more.
    ///
    /// # Errors
    /// When that cannot be done.
    fn close(&self) -> EngineFuture<'_, ()>;
}
