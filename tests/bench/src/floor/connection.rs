//! One accepted socket, and what it has turned into.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use crate::form::Form;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests and answers, one after the other.
    Http,
    /// Has asked for the next message of a channel.
    Polling {
        /// Index of the channel.
        channel: usize,
    },
    /// Open, and about to name its channel in a frame.
    Joining(Form),
    /// Hears a channel.
    Subscriber {
        /// Index of the channel.
        channel: usize,
        /// Index in its list of subscribers.
        place: usize,
    },
}

/// A socket, its role, and the start of a request that has not come whole.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) role: Role,
    unread: Vec<u8>,
}

/// The peer is gone, or cannot take what it is owed: either way the floor is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

impl Connection {
    /// A connection that has said nothing.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            role: Role::Http,
            unread: Vec::new(),
        }
    }

    /// Reads what has come, after what was left over; tells it as one slice of `buffer`'s or as the leftover itself.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Vec<u8>, Gone> {
        match self.stream.read(buffer) {
            Ok(0) => Err(Gone),
            Ok(length) => {
                let mut input = std::mem::take(&mut self.unread);
                input.extend_from_slice(&buffer[..length]);
                Ok(input)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(_) => Err(Gone),
        }
    }

    /// Keeps what could not be used yet.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.unread.extend_from_slice(rest);
    }

    /// Writes all or nothing more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let written = self.stream.write(bytes).map_err(|_| Gone)?;
        all(written, bytes.len())
    }

    /// Writes several pieces at once, all or nothing more.
    pub(super) fn write_all_vectored(&mut self, slices: &[IoSlice<'_>]) -> Result<(), Gone> {
        let owed = slices.iter().map(|slice| slice.len()).sum();
        let written = self.stream.write_vectored(slices).map_err(|_| Gone)?;
        all(written, owed)
    }
}

fn all(written: usize, owed: usize) -> Result<(), Gone> {
    if written == owed { Ok(()) } else { Err(Gone) }
}
