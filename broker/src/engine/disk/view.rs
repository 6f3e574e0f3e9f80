//! The files as they were at one moment: a channel's record agrees with the messages that are read, whatever is written and removed
//! meanwhile.

use std::ops::RangeInclusive;
use std::sync::Arc;

use fjall::{Readable, Snapshot};
use widecast_protocol::{ChannelName, Offset};

use super::channel_record::{ChannelRecord, key, offset_in};
use super::store::{Store, unavailable};
use crate::engine::EngineError;

/// The files at one moment. What is removed meanwhile takes its room for as long as this lives.
pub(super) struct StoreView {
    pub(super) snapshot: Snapshot,
    pub(super) store: Arc<Store>,
}

/// The order in which messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

impl StoreView {
    /// The channel, if the disk knew it.
    pub(super) fn channel(&self, name: &ChannelName) -> Result<Option<ChannelRecord>, EngineError> {
        let found = self.snapshot.get(&self.store.channels, name.as_str());
        let found = found.map_err(unavailable)?;
        found.map(|bytes| ChannelRecord::decode(&bytes)).transpose()
    }

    /// Reads the records of a channel's messages for as long as `take` says so.
    pub(super) fn messages(
        &self,
        channel: &ChannelName,
        offsets: RangeInclusive<Offset>,
        direction: Direction,
        mut take: impl FnMut(Offset, &[u8]) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let (first, last) = offsets.into_inner();
        let messages = &self.store.messages;
        let range = key(channel, first)..=key(channel, last);
        let range = self.snapshot.range(messages, range);
        let mut take_one = |entry: fjall::Guard| {
            let (key, record) = entry.into_inner().map_err(unavailable)?;
            take(offset_in(&key), &record)
        };
        match direction {
            Direction::Forward => {
                for entry in range {
                    if !take_one(entry)? {
                        break;
                    }
                }
            }
            Direction::Backward => {
                for entry in range.rev() {
                    if !take_one(entry)? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
