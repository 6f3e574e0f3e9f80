//! Which sessions hear which channel, and the walk over them.
//!
//! [`Routes`] knows, for all threads, which shards have subscribers of a channel; the engine hands it each message once.
//! A [`Shard`] knows the subscriptions of one worker thread and pushes shared bytes into their [`Outbox`]es, which its
//! flush list writes. The registry never names a session or a transport.

mod backlog;
mod catch_up;
mod catch_up_reader;
mod droppable;
mod ended;
mod fanout;
mod flush;
mod hole;
mod interest;
mod item;
mod outbox;
mod outbox_form;
mod overrun;
mod places;
mod progress;
mod pushing;
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
mod writing;

pub use ended::Ended;
pub use flush::FlushList;
pub use item::Lane;
pub use outbox::Outbox;
pub use outbox_form::{CursorForm, GapForm, OutboxForm};
pub use pushing::Pushed;
pub use recent::forget as forget_recent;
pub use routes::Routes;
pub use shard::Shard;
pub use shard_actor::ShardActor;
pub use subscription::Destination;
pub use subscription_handle::SubscriptionHandle;
pub use watch::PresenceWatch;
