//! The HTTP surface apart from the streams: one file per endpoint.
//!
//! A handler reads the request into valid types, calls the session layer or the engine, and writes the answer; rules
//! that also hold for commands in a stream are not here.

mod answer;
mod batch;
mod channel;
mod channels;
mod content;
#[cfg(test)]
mod description;
mod form;
mod history;
mod image_ping;
mod json_body;
mod kick;
mod line_reader;
mod line_stream;
mod message;
mod nodes;
mod operator;
mod outcome;
mod presence;
mod publish;
mod receipt;
mod revocations;
mod routing;
mod scrape;
#[cfg(test)]
pub(crate) mod testing;
mod user_message;

pub use operator::Operator;
pub use routing::configure;
