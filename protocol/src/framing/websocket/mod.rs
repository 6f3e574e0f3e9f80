//! WebSocket frames ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)), the server's side: whole frames out, events in.
//!
//! [`Decoder`] reads what a client sends, in whatever pieces it comes; [`text`], [`binary`], [`ping`], [`pong`] and
//! [`close`] make complete frames, header included, to be shared by all who receive them. No extension is negotiated,
//! so a reserved bit is always an error.

mod close;
mod decoder;
mod encode;
mod error;
mod header;
mod mask;
mod message;
mod opcode;

#[cfg(test)]
mod tests;

pub use decoder::{Decoder, DecoderLimits, Event};
pub use encode::{binary, close, close_reply, header, header_bytes, ping, pong, text};
pub use error::FrameError;
pub use opcode::Opcode;
