//! What is known of one channel that is heard on this node, and who waits for something there.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::oneshot;
use widecast_protocol::{Message, Offset, Position};

use super::ephemeral::new_beginning;
use super::picture::Picture;

/// A channel that is heard.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// Its topic is subscribed to on the present connection.
    pub(super) is_live: bool,
    /// It was live on a connection that is lost: something may have been published since.
    pub(super) is_stale: bool,
    /// The newest message that was heard.
    pub(super) last: Option<Position>,
    /// Where its first reader began, while nothing has been heard.
    pub(super) start: Option<Position>,
    /// How many subscribers had the newest message.
    pub(super) subscribers: u64,
    /// The newest change of members that was heard.
    pub(super) change: u64,
    /// The number of the newest change in any list of its members that was shown on this node.
    pub(super) listed: u64,
    /// What its watchers on this node know of its members, if it has any.
    pub(super) picture: Option<Picture>,
    /// Those who wait until it is live.
    pub(super) wanting: Vec<oneshot::Sender<()>>,
    /// Those who wait for a message, by its offset, or for a change of members, by its number.
    pub(super) messages: BTreeMap<u64, Vec<oneshot::Sender<u64>>>,
    pub(super) changes: BTreeMap<u64, Vec<oneshot::Sender<u64>>>,
    /// The time of the newest message that has its place from this node.
    pub(super) time_ms: u64,
    /// Those of this node who wait for such a message, by its tag.
    pub(super) tagged: HashMap<u64, oneshot::Sender<HeardAt>>,
}

/// Where a message was heard, and how many subscribers have it.
pub(super) type HeardAt = (Position, u64);

impl Listener {
    /// How far it has been heard.
    pub(super) fn reached(&self) -> Option<Position> {
        self.last.or(self.start)
    }

    pub(super) fn heard(&mut self, position: Position, subscribers: u64) {
        let began_anew = self.last.is_some_and(|last| last.epoch != position.epoch);
        self.last = Some(position);
        self.subscribers = subscribers;
        let till = if began_anew {
            u64::MAX
        } else {
            position.offset.0
        };
        answer(&mut self.messages, till, subscribers);
    }

    /// How far it has been heard, where this node gives messages their places.
    pub(super) fn end(&mut self) -> Position {
        *self.last.get_or_insert_with(new_beginning)
    }

    /// Gives a message its place.
    pub(super) fn place(&mut self, message: Message) -> Message {
        let Position { epoch, offset } = self.end();
        self.time_ms = self.time_ms.max(message.timestamp_ms);
        Message {
            epoch,
            offset: Offset(offset.0 + 1),
            timestamp_ms: self.time_ms,
            ..message
        }
    }
}

/// Answers those who wait for this number or an earlier one.
pub(super) fn answer(waiting: &mut BTreeMap<u64, Vec<oneshot::Sender<u64>>>, till: u64, with: u64) {
    while let Some(first) = waiting.first_entry()
        && *first.key() <= till
    {
        for waiting in first.remove() {
            let _ = waiting.send(with);
        }
    }
}
