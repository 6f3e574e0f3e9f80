//! Where offsets, history and presence live.
//!
//! An [`Engine`] orders the publications of each channel, keeps the newest of them for those who resume, and knows who
//! is here. It hands what it has ordered to [`Deliver`], which the registry implements: the engine knows nothing of
//! subscribers, sessions or sockets.
//!
//! What every engine owes its callers, and `conformance` checks:
//! - One total order per channel: offsets 1, 2, 3… without holes per epoch, delivered in that order by every node.
//! - A subscriber that takes [`MessageLog::position`] after [`Interest::interested`] has been answered is delivered
//!   everything after that position, or is told [`Deliver::lost`].
//! - [`MessageLog::replay`] gives every message after a position, portion by portion, or says that it cannot; it never
//!   skips one silently.
//!
//! A future of an engine that is dropped before it is ready has done either all or nothing; for a networked engine nobody
//! knows which.
//!
//! A networked engine may fail ([`EngineError`]), deliver what another node has published, and lose its connection; all
//! of this is in the signatures, so that nobody above has to know which engine it is.

mod abilities;
mod announcements;
mod clock;
#[cfg(test)]
mod conformance;
mod deadline;
pub mod disk;
mod error;
mod figures;
#[cfg(test)]
pub(crate) mod flaky;
pub mod memory;
mod publication;
mod reading;
pub mod redis;
mod retry;
mod router;
mod startup;

use std::pin::Pin;
use std::sync::Arc;

use widecast_protocol::{ChannelName, EncodedMessage};

pub use self::redis::{EphemeralChannels, RedisEngine, RedisSettings, RedisStartError};
pub use crate::history::HistoryLimits;
pub use crate::presence::{
    ConnectionId, MemberList, MemberQuery, NumberedChange, PresenceChange, PresenceEntry,
};
pub use abilities::{
    Announcements, Directory, Engine, Interest, Lifecycle, MemberStore, MessageLog,
    PublishedInOrder,
};
pub use announcements::Announcement;
#[cfg(test)]
pub(crate) use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use deadline::{renew, until_deadline, with_callers_patience, with_patience};
pub use disk::{DiskEngine, DiskError, DiskSettings};
pub use error::EngineError;
pub use figures::{EngineFigures, ServerFigures, ServerState, WriteFigures};
pub use memory::{MemoryEngine, MemorySettings};
pub use publication::{Publication, Published};
use reading::Stored;
pub use reading::{
    ChannelInfo, ChannelQuery, HistoryOrder, HistoryPage, HistoryQuery, Portion, Replay,
};
pub use retry::retry_intervals;
pub use router::{EngineRouter, Placement};
pub use startup::{EngineStartError, NamedEngine, StartedEngines, check, start};

/// The answer of an engine, once it is there. Nothing happens before it is polled.
pub type EngineFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// Takes what the engine has ordered to the subscribers of this node. The registry implements it.
///
/// All of it is called under the channel's lock, in the channel's order: an implementation must not block, and must not
/// call the engine back.
pub trait Deliver: Send + Sync + 'static {
    /// Hands a message to the channel's subscribers; returns how many there are.
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64;

    /// Tells the channel's subscribers who came or went. The numbers go up as long as the channel has subscribers.
    fn presence(&self, channel: &ChannelName, change: NumberedChange);

    /// Messages were lost on the way to this node: the channel's subscribers have to resume with [`MessageLog::replay`].
    fn lost(&self, channel: &ChannelName);

    /// Another node has announced this. It comes once for each engine that both nodes share.
    fn announced(&self, _: Announcement) {}

    /// Announcements may have been lost on the way to this node, or in the engine: [`Announcements::announced`] has to be read, and
    /// what it lacks announced again.
    fn announcements_lost(&self) {}
}
