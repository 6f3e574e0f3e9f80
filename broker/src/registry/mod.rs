//! Which sessions hear which channel, and the walk over them.
//!
//! [`Routes`] knows, for all threads, which shards have subscribers of a channel; the engine hands it each message once.
//! A [`Shard`] knows the subscriptions of one worker thread and pushes shared bytes into their [`Outbox`]es, which its
//! flush list writes. The registry never names a session or a transport.

mod announced;
mod background;
mod catch_up;
mod catch_up_reader;
mod ended;
mod fanout;
mod hole;
mod interest;
mod long_forms;
mod news;
mod outbox;
mod overrun;
mod progress;
mod recent;
mod refill;
mod routes;
mod shard;
mod shard_actor;
mod subscription;
mod subscription_handle;
#[cfg(test)]
mod testing;
mod watch;

pub use announced::{AnnouncementQueue, Arrived};
pub use ended::Ended;
pub use outbox::{CursorForm, FlushList, GapForm, Lane, Outbox, OutboxForm, Pushed};
pub use recent::forget as forget_recent;
pub use routes::Routes;
pub use shard::Shard;
pub use shard_actor::ShardActor;
pub use subscription::Destination;
pub use subscription_handle::SubscriptionHandle;
pub use watch::PresenceWatch;
