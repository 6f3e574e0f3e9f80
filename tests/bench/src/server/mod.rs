//! A server under test: its process, its address, what it has used.

mod engines;
mod foreign;
mod guarded;
mod nchan;
mod process;
mod redis;
mod start;

pub use engines::Keeping;
pub use foreign::free_address;
pub use guarded::Credential;
pub use process::Server;
pub use start::BrokerCommand;
