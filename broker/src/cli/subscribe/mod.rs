//! `widecast subscribe`: prints messages as they come, and resumes by itself after a cut.
//!
//! `reader.rs` holds the place of the reader and the loop around a connection; there is one file per transport, each of
//! which listens until its connection ends. Parsers are sans-io.

mod backoff;
mod connection;
mod end;
mod event_stream;
mod http;
mod http_stream;
mod lines;
mod long_poll;
mod message;
mod past;
mod printer;
mod reader;
mod websocket;

pub use reader::subscribe;
