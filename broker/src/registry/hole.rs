//! Holes among the messages that reach a shard: how one is noticed, and what waits while it is being filled from the history.

use std::sync::Arc;

use widecast_protocol::{EncodedMessage, Offset, Position};

/// How many messages wait while a hole is being filled; beyond that the history is read again.
const WAITING_MESSAGES: usize = 1024;

/// The messages that came while a hole is being filled.
pub(super) struct Filling {
    /// The history is being read from here.
    pub(super) since: Position,
    pub(super) waiting: Vec<Arc<EncodedMessage>>,
    /// Not all messages that came are in `waiting`, or one may have been lost since the history was read: it has to be read once more.
    pub(super) incomplete: bool,
    /// A message was found that had not come, and is counted.
    is_counted: bool,
}

impl Filling {
    /// Begins: the history is read from here.
    pub(super) fn since(since: Position) -> Self {
        Self {
            since,
            waiting: Vec::new(),
            incomplete: false,
            is_counted: false,
        }
    }

    /// Whether, for the first time, what was read from the history begins with a message that had not come: something was only
    /// suspected to be missing until then.
    pub(super) fn is_found_missing(&mut self, read: &[Arc<EncodedMessage>]) -> bool {
        let place = |messages: &[Arc<EncodedMessage>]| messages.first().map(|one| one.position());
        let is_missing = !read.is_empty() && place(read) != place(&self.waiting);
        is_missing && !std::mem::replace(&mut self.is_counted, true)
    }

    /// A message has come, and waits until the hole is filled.
    pub(super) fn wait(&mut self, message: &Arc<EncodedMessage>) {
        if self.waiting.len() < WAITING_MESSAGES {
            self.waiting.push(Arc::clone(message));
        } else {
            self.incomplete = true;
        }
    }
}

/// Where the next message of a channel belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// It is the next.
    Next,
    /// It has been here before.
    Seen,
    /// Something is missing before it.
    Hole,
}

/// Compares a message with the last one that was delivered.
pub(super) fn continuity(last: Option<Position>, message: &EncodedMessage) -> Continuity {
    let Some(last) = last else {
        return Continuity::Next;
    };
    let message = message.message();
    if message.epoch != last.epoch {
        return Continuity::Hole;
    }
    match message.offset {
        offset if offset <= last.offset => Continuity::Seen,
        Offset(offset) if offset == last.offset.0 + 1 => Continuity::Next,
        _ => Continuity::Hole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::testing::message;

    #[test]
    fn a_hole_counts_once_and_only_when_something_had_not_come() {
        let read = |offsets: [u64; 2]| offsets.map(|offset| message("a", offset));
        let mut suspected = Filling::since(message("a", 4).position());
        assert!(!suspected.is_found_missing(&[]), "nothing was there");
        suspected.wait(&message("a", 5));
        assert!(
            !suspected.is_found_missing(&read([5, 6])),
            "it came by itself"
        );
        let mut hole = Filling::since(message("a", 4).position());
        hole.wait(&message("a", 7));
        assert!(hole.is_found_missing(&read([5, 6])));
        assert!(!hole.is_found_missing(&read([7, 8])), "the next portion");
    }
}
