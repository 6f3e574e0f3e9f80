//! A server under test: its process, its address, what it has used.

mod guarded;
mod nchan;
mod process;
mod start;

pub use guarded::Credential;
pub use process::Server;
pub use start::BrokerCommand;
