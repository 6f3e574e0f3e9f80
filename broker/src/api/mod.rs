//! The HTTP surface apart from the streams: one file per endpoint, and what they share.
//!
//! A handler reads the request into valid types, calls the session layer or the engine, and writes the answer; rules
//! that also hold for commands in a stream are not here. Every error is a [`Problem`].

mod channel_path;
mod endpoint;
mod problem;

pub use channel_path::ChannelPath;
pub use endpoint::Endpoint;
pub use problem::Problem;
