//! What waits to be written, in order: a plain queue with a size, and what may be dropped from it.

use std::collections::{HashSet, VecDeque};
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use widecast_protocol::{ChannelName, EncodedMessage, Position};

use crate::config::SlowConsumer;

/// How many frames one write takes: more than this bring nothing (one write costs 3.4 + 0.14·k µs).
const FRAMES_PER_WRITE: usize = 32;

/// How many items an empty backlog keeps room for: an idle session costs no more, and the next message no allocation.
const IDLE_CAPACITY: usize = 4;

/// One thing that waits.
pub(super) enum Item {
    /// Not to be dropped: a reply, a heartbeat, or a message of a channel whose policy is to disconnect.
    Frame(Bytes),
    /// May be dropped; remembers what it is, to tell of it.
    Message {
        bytes: Bytes,
        message: Arc<EncodedMessage>,
    },
    /// Messages up to here were dropped.
    Gap {
        channel: ChannelName,
        cursor: Position,
    },
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Frame(bytes) | Self::Message { bytes, .. } => bytes.len(),
            Self::Gap { .. } => 0,
        }
    }
}

/// What waits for one client.
#[derive(Default)]
pub(super) struct Backlog {
    items: VecDeque<Item>,
    bytes: usize,
    /// Part of the front item is already with the kernel.
    front_begun: bool,
}

impl Backlog {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.bytes += item.size();
        self.items.push_back(item);
    }

    /// Whether `bytes` more keep to the limit. What is larger than the limit itself fits when nothing else waits.
    pub(super) fn fits(&self, bytes: usize, limit: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= limit
    }

    /// Drops messages until `bytes` more fit, if that is possible, and says how many were dropped.
    pub(super) fn make_room(&mut self, bytes: usize, limit: usize, policy: SlowConsumer) -> usize {
        let mut dropped = 0;
        if policy == SlowConsumer::Latest {
            dropped += self.drop_superseded();
        }
        let mut index = self.first_droppable();
        while index < self.items.len() && self.bytes + bytes > limit {
            dropped += self.drop_at(index);
            index += 1;
        }
        self.merge_gaps();
        dropped
    }

    /// Takes everything; `tell` writes the gaps.
    pub(super) fn take(&mut self, tell: impl Fn(&ChannelName, Position) -> Bytes) -> Vec<Bytes> {
        let taken = std::mem::take(self);
        let bytes = |item| match item {
            Item::Frame(bytes) | Item::Message { bytes, .. } => bytes,
            Item::Gap { channel, cursor } => tell(&channel, cursor),
        };
        taken.items.into_iter().map(bytes).collect()
    }

    /// Lets `write` take the frames in front, and forgets as many bytes as it says it took.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn write(
        &mut self,
        tell: impl Fn(&ChannelName, Position) -> Bytes,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let count = self.items.len().min(FRAMES_PER_WRITE);
        self.tell_gaps(count, tell);
        let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
        for (slice, item) in slices.iter_mut().zip(&self.items) {
            if let Item::Frame(bytes) | Item::Message { bytes, .. } = item {
                *slice = IoSlice::new(bytes);
            }
        }
        let written = write(&slices[..count])?;
        self.forget(written);
        Ok(written)
    }

    /// Drops each message that is followed by a newer one of its channel.
    fn drop_superseded(&mut self) -> usize {
        let mut newest = HashSet::new();
        let mut dropped = 0;
        for index in (self.first_droppable()..self.items.len()).rev() {
            if let Item::Message { message, .. } = &self.items[index]
                && !newest.insert(message.message().channel.clone())
            {
                dropped += self.drop_at(index);
            }
        }
        dropped
    }

    fn first_droppable(&self) -> usize {
        usize::from(self.front_begun)
    }

    /// Puts a gap in the place of a message, and says how many messages were dropped: one, or none if none is here.
    fn drop_at(&mut self, index: usize) -> usize {
        let Item::Message { bytes, message } = &self.items[index] else {
            return 0;
        };
        self.bytes -= bytes.len();
        self.items[index] = Item::Gap {
            channel: message.message().channel.clone(),
            cursor: message.position(),
        };
        1
    }

    /// Keeps of several gaps of a channel only the last: it covers the others.
    fn merge_gaps(&mut self) {
        let mut seen = HashSet::new();
        let mut is_kept: Vec<bool> = self
            .items
            .iter()
            .rev()
            .map(|item| match item {
                Item::Gap { channel, .. } => seen.insert(channel.clone()),
                Item::Frame(_) | Item::Message { .. } => true,
            })
            .collect();
        self.items.retain(|_| is_kept.pop().unwrap_or(true));
    }

    /// Turns the gaps among the first `count` items into frames.
    fn tell_gaps(&mut self, count: usize, tell: impl Fn(&ChannelName, Position) -> Bytes) {
        for item in self.items.iter_mut().take(count) {
            if let Item::Gap { channel, cursor } = item {
                let bytes = tell(channel, *cursor);
                self.bytes += bytes.len();
                *item = Item::Frame(bytes);
            }
        }
    }

    /// Removes `written` bytes from the front.
    fn forget(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.items.front_mut() {
            let size = front.size();
            if written < size {
                if written > 0
                    && let Item::Frame(bytes) | Item::Message { bytes, .. } = front
                {
                    bytes.advance(written);
                    self.front_begun = true;
                }
                return;
            }
            written -= size;
            self.items.pop_front();
            self.front_begun = false;
        }
        if self.items.capacity() > IDLE_CAPACITY {
            self.items = VecDeque::new();
        }
    }
}
