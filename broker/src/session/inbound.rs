//! The things that clients send a session, once the transport has taken the bytes apart.

use bytes::Bytes;
use widecast_protocol::codec::RefusedCommand;
use widecast_protocol::{Code, Command};

use crate::offload::LARGE_BYTES;

/// Takes the bytes of a connection apart. The transport implements it; the session neither knows nor cares which.
pub trait InboundDecoder {
    /// Reads the next bytes, in whatever pieces they come.
    fn read(&mut self, bytes: &[u8]) -> Vec<Inbound>;

    /// How many bytes of an incomplete message have come; `None` when no message is incomplete.
    fn unfinished_bytes(&self) -> Option<usize> {
        None
    }
}

/// Throws away what comes: on a one-way stream, and after the end of a session because of what it was sent.
pub struct DiscardInbound;

impl InboundDecoder for DiscardInbound {
    fn read(&mut self, _: &[u8]) -> Vec<Inbound> {
        Vec::new()
    }
}

/// One thing a client has sent.
pub enum Inbound {
    /// A frame of this many bytes, and the function that decodes it outside of the worker thread.
    Large(usize, Box<dyn FnOnce() -> Vec<Self> + Send>),
    /// A command.
    Command(Command),
    /// A command that cannot be carried out.
    Unreadable(RefusedCommand),
    /// Bytes to send back at once, a pong: of several for which there is little room, the newest will do.
    Answer(Bytes),
    /// The session ends, and these bytes are its last.
    Finish(Bytes),
    /// The session ends because of what the client has sent.
    Fail {
        /// What is wrong with it.
        code: Code,
        /// What is wrong with it, for people.
        detail: String,
    },
}

impl Inbound {
    /// Adds what a frame says: a small one is decoded here, a large one is left to the session.
    pub fn decode(
        inbound: &mut Vec<Self>,
        frame: Bytes,
        decode: impl FnOnce(&Bytes) -> Vec<Self> + Send + 'static,
    ) {
        if frame.len() < LARGE_BYTES {
            inbound.extend(decode(&frame));
        } else {
            let bytes = frame.len();
            inbound.push(Self::Large(bytes, Box::new(move || decode(&frame))));
        }
    }
}
