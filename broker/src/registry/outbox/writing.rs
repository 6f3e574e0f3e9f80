//! Writing an outbox to its socket: [`FlushList`](super::FlushList) asks for it when there is something to write.

use std::io::{self, IoSlice};
use std::rc::Rc;

use crate::net::Connection;

use super::{Outbox, Sink, State};
use crate::registry::ended::Ended;

/// The outcome of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Flushed {
    /// Nothing is left.
    Done,
    /// More frames are queued than one slice writes.
    More,
    /// The kernel takes nothing for now.
    Blocked,
}

impl Outbox {
    /// Writes once to the socket, or wakes the poll that waits.
    pub(in crate::registry) fn flush(&self) -> Flushed {
        let connection = match &*self.sink.borrow() {
            Sink::Nobody => return Flushed::Done,
            Sink::Poll(waker) => {
                waker.wake_by_ref();
                return Flushed::Done;
            }
            Sink::Socket(connection) => Rc::clone(connection),
        };
        match self.write_some(&connection) {
            Ok(()) if self.backlog.borrow().is_empty() => {
                if let State::Ending(ended) = self.state.get() {
                    self.state.set(State::Closed(ended));
                    connection.finish_writing();
                    self.wake_waiters();
                }
                Flushed::Done
            }
            Ok(()) => Flushed::More,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flushed::Blocked,
            Err(_) => {
                // The reader sees the end of the stream and ends the session.
                self.close(Ended::ConnectionFailed);
                Flushed::Done
            }
        }
    }

    /// Waits until the kernel takes bytes again.
    pub(in crate::registry) async fn writable(&self) {
        let connection = match &*self.sink.borrow() {
            Sink::Socket(connection) => Rc::clone(connection),
            Sink::Nobody | Sink::Poll(_) => return,
        };
        // A failed socket counts as writable: the next write finds the error.
        let _ = connection.writable().await;
    }

    fn write_some(&self, connection: &Connection) -> io::Result<()> {
        self.write_with(|frames| match frames {
            [] => Ok(0),
            [frame] => connection.try_write(frame),
            frames => connection.try_write_vectored(frames),
        })
    }

    /// Lets `write` take the bytes in front.
    fn write_with(
        &self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let owed_much = !self.owes_little();
        let written = self.change(|backlog| backlog.write(write))?;
        self.flush_list.wrote(written);
        self.count_written(written);
        if self.has_room() || (owed_much && self.owes_little()) {
            self.wake_waiters();
        }
        Ok(())
    }
}

#[cfg(test)]
impl Outbox {
    /// The bytes that a socket takes if it has room for `most` of them.
    pub(crate) fn written(&self, most: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        let write = |frames: &[IoSlice<'_>]| {
            for frame in frames {
                taken.extend_from_slice(&frame[..frame.len().min(most - taken.len())]);
            }
            Ok(taken.len())
        };
        self.write_with(write).unwrap();
        taken
    }
}
