//! The harness of the end-to-end tests: a real broker on a port of its own, a publisher, and one subscriber for every
//! transport and codec.
//!
//! The clients here are independent of the broker: tokio-tungstenite, reqwest, rmpv, and an event-stream parser written
//! from the standard. Nothing sleeps: everything waits for a condition, with a deadline.

pub mod address;
pub mod backend;
pub mod broker;
pub mod cli;
pub mod deadline;
pub mod guarded;
pub mod heard;
pub mod identity_provider;
pub mod join;
pub mod matrix;
pub mod message_pack;
pub mod metrics;
pub mod program;
pub mod publisher;
pub mod redis;
pub mod redis_cluster;
pub mod redis_link;
pub mod redis_sentinel;
pub mod relay;
pub mod settings;
pub mod socket;
pub mod subscriber;
pub mod surface;
mod test_engine;
pub mod tls;
pub mod translation;
pub mod witness;

pub use broker::{Broker, Endpoint};
pub use deadline::{PATIENCE, eventually, within};
pub use guarded::Guarded;
pub use heard::{Heard, Message};
pub use join::Join;
pub use publisher::{Published, Publisher};
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
pub use redis_link::{RedisLink, Silence};
pub use redis_sentinel::{RedisSentinels, WatchedServers};
pub use relay::Relay;
pub use settings::Settings;
pub use subscriber::{Subscriber, Transport};
pub use tls::{TlsIdentity, TlsProxy};
pub use witness::{Witness, publish_until, until_more_are_published, while_publishing};
