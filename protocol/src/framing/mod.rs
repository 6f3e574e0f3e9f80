//! From frames to complete bytes on the wire, one module per framing.

pub mod body;
pub mod jsonp;
pub mod ndjson;
pub mod pieces;
pub(crate) mod prefix;
pub mod sse;
pub mod websocket;
mod wire;

pub use wire::{Content, Framing, Gap, Wire};
