//! Which sessions hear which channel, and the walk over them.
//!
//! [`Routes`] knows, for all threads, which shards have subscribers of a channel; the engine hands it each message once.
//! A [`Shard`] knows the subscriptions of one worker thread and pushes shared bytes into their [`Outbox`]es, which its
//! flush list writes. The registry never names a session or a transport.

mod backlog;
mod fanout;
mod flush;
mod outbox;
mod routes;
mod shard;
mod subscription;
#[cfg(test)]
mod testing;

pub use flush::FlushList;
pub use outbox::{GapForm, Outbox, Pushed};
pub use routes::Routes;
pub use shard::{CatchUp, Membership, Shard, ShardActor};
pub use subscription::{Delivery, PresenceWatch, Subscriber};
