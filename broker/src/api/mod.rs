//! The HTTP surface apart from the streams: one file per endpoint.
//!
//! A handler reads the request into valid types, calls the session layer or the engine, and writes the answer; rules
//! that also hold for commands in a stream are not here.

mod answer;
mod batch;
mod bridge;
mod channel;
mod channels;
mod client_assets;
mod content;
mod demos;
#[cfg(test)]
mod description;
mod form;
mod history;
mod image_ping;
mod line_reader;
mod line_stream;
mod message;
mod operator;
mod outcome;
mod presence;
mod publish;
mod receipt;
mod routing;
mod scrape;
mod static_asset;
#[cfg(test)]
pub(crate) mod testing;

pub use operator::Operator;
pub use routing::configure;
