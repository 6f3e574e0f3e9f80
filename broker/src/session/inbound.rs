//! What clients send a session, once the transport has taken it apart.

use bytes::Bytes;
use widecast_protocol::codec::DecodeError;
use widecast_protocol::{Code, Command, CommandId};

/// Takes the bytes of a connection apart. The transport implements it; the session neither knows nor cares which.
pub trait Reader {
    /// Reads the next bytes, in whatever pieces they come.
    fn read(&mut self, bytes: &[u8]) -> Vec<Inbound>;

    /// How many bytes have come of what is not whole; none when nothing is under way.
    fn unfinished_bytes(&self) -> Option<usize> {
        None
    }
}

/// One thing a client has sent.
#[derive(Debug)]
pub enum Inbound {
    /// A command.
    Command(Command),
    /// A command that cannot be carried out, and the id to answer with.
    Unreadable(Option<CommandId>, DecodeError),
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
