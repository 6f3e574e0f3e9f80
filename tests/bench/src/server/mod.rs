//! A server under test: its process, its address, what it has used.

mod foreign;
mod guarded;
mod nchan;
mod node;
mod process;
mod redis;
mod start;

pub use guarded::Credential;
pub use node::Keeping;
pub use process::Server;
pub use start::BrokerCommand;
