//! Bytes ↔ frames: commands are read, replies are written, in JSON and in MessagePack.

pub(crate) mod error;
mod message;
pub(crate) mod notation;
mod reply;

pub use error::{Codec, DecodeError};
pub(crate) use message::write_message;
pub use reply::encode_reply;
pub(crate) use reply::write_reply;
