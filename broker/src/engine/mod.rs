//! Where offsets, history and presence live.
//!
//! An [`Engine`] orders the publications of each channel, keeps the newest of them for those who resume, and knows who
//! is here. It hands what it has ordered to [`Deliver`], which the registry implements: the engine knows nothing of
//! subscribers, sessions or sockets.
//!
//! What every engine owes its callers, and `conformance.rs` checks:
//! - One total order per channel: offsets 1, 2, 3… without holes per epoch, delivered in that order by every node.
//! - Who takes [`Engine::position`] after [`Engine::subscribed`] has been answered, is delivered everything after that
//!   position, or is told [`Deliver::lost`].
//! - [`Engine::replay`] gives every message after a position, portion by portion, or says that it cannot; it never skips
//!   one silently.
//!
//! A networked engine may fail ([`EngineError`]), deliver what another node has published, and lose its connection; all
//! of this is in the signatures, so that nobody above has to know which engine it is.

mod clock;
#[cfg(test)]
mod conformance;
mod error;
mod figures;
pub mod memory;
mod publication;
mod reading;

use std::pin::Pin;
use std::sync::Arc;

use widecast_protocol::{ChannelName, EncodedMessage, Position};

pub use crate::history::HistoryLimits;
pub use crate::presence::{
    ConnectionId, MemberList, NumberedChange, PresenceChange, PresenceEntry,
};
#[cfg(test)]
pub(crate) use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use error::EngineError;
pub use figures::EngineFigures;
pub use memory::{MemoryEngine, MemorySettings};
pub use publication::{Publication, Published};
pub use reading::{
    ChannelInfo, ChannelQuery, HistoryOrder, HistoryPage, HistoryQuery, Portion, Replay,
};

/// The answer of an engine, once it is there. Nothing happens before it is polled.
pub type EngineFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// Keeps the order, the history and the members of every channel.
///
/// # Cancel safety
/// A future that is dropped before it is ready has either done all or nothing; for a networked engine nobody knows which.
pub trait Engine: Send + Sync + 'static {
    /// Gives a message its place, keeps it, and hands it to [`Deliver`] before it answers.
    ///
    /// A publication whose idempotency key was used on the channel within the window is not published again: the answer
    /// has the first one's position and `duplicate`.
    ///
    /// # Errors
    /// When the engine cannot be reached; the message may have been published all the same.
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published>;

    /// The channel's present end. A channel that nobody knew begins here, and its epoch stays for a while even when
    /// nobody subscribes, so that who resumes from this position soon has missed nothing.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position>;

    /// What comes after `since`, up to a portion of it; or `recovered: false` when that cannot be given: another epoch, an
    /// offset the channel has not reached, or one that the history no longer reaches back to.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay>;

    /// One page of what the history holds.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage>;

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

    /// Who is here. Who left less than the grace time ago still is.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    fn members<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, MemberList>;

    /// Somebody on this node subscribes: from the answer on, every message is delivered here. Calls are counted: each
    /// needs its [`Engine::unsubscribed`].
    ///
    /// # Errors
    /// When the engine cannot be reached; the call does not count then.
    fn subscribed<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()>;

    /// Undoes one [`Engine::subscribed`]. After the last the channel may be forgotten.
    ///
    /// # Errors
    /// When the engine cannot be reached; the call counts all the same.
    fn unsubscribed<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()>;

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

    /// What the engine holds, in numbers.
    fn figures(&self) -> EngineFigures;

    /// Whether the engine works now.
    ///
    /// # Errors
    /// When it does not, saying why.
    fn health(&self) -> EngineFuture<'_, ()>;
}

/// Takes what the engine has ordered to the subscribers of this node. The registry implements it.
///
/// All of it is called under the channel's lock, in the channel's order: an implementation must not block, and must not
/// call the engine back.
pub trait Deliver: Send + Sync + 'static {
    /// Hands a message to the channel's subscribers; returns how many there are.
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64;

    /// Tells the channel's subscribers who came or went. The numbers go up as long as the channel has subscribers.
    fn presence(&self, channel: &ChannelName, change: NumberedChange);

    /// Messages were lost on the way to this node: the channel's subscribers have to resume with [`Engine::replay`].
    fn lost(&self, channel: &ChannelName);
}
