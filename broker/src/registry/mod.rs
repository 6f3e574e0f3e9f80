//! Which sessions hear which channel, and the walk over them.
//!
//! [`Routes`] knows, for all threads, which shards have subscribers of a channel; the engine hands it each message once.
//! A [`Shard`] knows the subscriptions of one worker thread and pushes shared bytes into their [`Outbox`]es, which its
//! flush list writes. The registry never names a session or a transport.

mod backlog;
mod catch_up;
mod droppable;
mod fanout;
mod flush;
mod item;
mod outbox;
mod pace;
mod places;
mod routes;
mod shard;
mod subscription;
#[cfg(test)]
mod testing;
mod voice;
mod watch;
mod writing;

pub use flush::FlushList;
pub use item::Lane;
pub use outbox::{Outbox, Pushed};
pub use routes::Routes;
pub use shard::{Membership, Shard, ShardActor};
pub use subscription::Subscriber;
pub use voice::{Cursors, GapForm, Voice};
pub use watch::PresenceWatch;
