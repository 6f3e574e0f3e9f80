//! The HTTP surface apart from the streams: one file per endpoint, and what they share.
//!
//! A handler reads the request into valid types, calls the session layer or the engine, and writes the answer; rules
//! that also hold for commands in a stream are not here. Every error is a [`Problem`]. The application wraps all of it,
//! streams included, in [`edge()`].

mod answer;
mod batch;
mod body;
mod caller;
mod channel;
mod channel_path;
mod channels;
mod content;
mod edge;
mod endpoint;
mod form;
mod history;
mod image_ping;
mod line_reader;
mod line_stream;
mod media_type;
mod operator;
mod outcome;
mod presence;
mod problem;
mod publish;
mod query;
mod receipt;
mod routing;
mod scrape;
#[cfg(test)]
pub(crate) mod testing;

pub use caller::{Caller, sender_key};
pub use channel_path::ChannelPath;
pub use edge::{edge, verified_origin};
pub use endpoint::Endpoint;
pub use operator::Operator;
pub use problem::Problem;
pub use query::Query;
pub use routing::configure;
