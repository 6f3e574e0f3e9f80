//! What the disk knows of a channel besides its messages.

use std::time::Duration;

use widecast_protocol::{ChannelName, Epoch, Offset, Position};

use crate::engine::EngineError;
use crate::history::HistoryLimits;

/// The version of the form on the disk, in its first byte. Later versions read the earlier ones.
const VERSION: u8 = 1;

/// The numbers of a record, and the bytes that they take behind the version.
const NUMBERS: usize = 9;
const LENGTH: usize = 1 + 8 * NUMBERS;

/// A channel on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChannelRecord {
    pub(super) epoch: Epoch,
    /// The oldest message that is kept; the one behind the newest, when none is.
    pub(super) oldest: Offset,
    pub(super) newest: Offset,
    /// How many bytes the kept messages take.
    pub(super) bytes: u64,
    /// The newest message's timestamp.
    pub(super) timestamp_ms: u64,
    /// When something was last written to the channel.
    pub(super) written_ms: u64,
    pub(super) limits: HistoryLimits,
}

impl ChannelRecord {
    /// A channel without messages.
    pub(super) fn new(epoch: Epoch, now_ms: u64) -> Self {
        Self {
            epoch,
            oldest: Offset(1),
            newest: Offset(0),
            bytes: 0,
            timestamp_ms: 0,
            written_ms: now_ms,
            limits: HistoryLimits::default(),
        }
    }

    /// The channel's end.
    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.newest,
        }
    }

    /// How many messages are kept.
    pub(super) fn messages(&self) -> u64 {
        (self.newest.0 + 1).saturating_sub(self.oldest.0)
    }

    pub(super) fn encode(&self) -> [u8; LENGTH] {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let numbers: [u64; NUMBERS] = [
            self.epoch.0,
            self.oldest.0,
            self.newest.0,
            self.bytes,
            self.timestamp_ms,
            self.written_ms,
            self.limits.messages as u64,
            self.limits.bytes,
            milliseconds(self.limits.age),
        ];
        let mut bytes = [VERSION; LENGTH];
        for (place, number) in bytes[1..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// # Errors
    /// When these are not the bytes of a record.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let expected = EngineError::Corrupt {
            expected: "a channel's record",
        };
        if bytes.len() != LENGTH || bytes[0] != VERSION {
            return Err(expected);
        }
        let mut numbers = bytes[1..].chunks_exact(8).map(|number| {
            // The pieces have eight bytes.
            number.try_into().map_or(0, u64::from_be_bytes)
        });
        let mut next = || numbers.next().unwrap_or_default();
        Ok(Self {
            epoch: Epoch(next()),
            oldest: Offset(next()),
            newest: Offset(next()),
            bytes: next(),
            timestamp_ms: next(),
            written_ms: next(),
            limits: HistoryLimits {
                messages: usize::try_from(next()).unwrap_or(usize::MAX),
                bytes: next(),
                age: Duration::from_millis(next()),
            },
        })
    }
}

/// Ends a channel's name in the keys of what belongs to it: no name has it.
pub(super) const END: u8 = 0;

/// The beginning of the keys of what belongs to a channel.
pub(super) fn prefix(channel: &ChannelName) -> Vec<u8> {
    let name = channel.as_str().as_bytes();
    let mut key = Vec::with_capacity(name.len() + 9);
    key.extend_from_slice(name);
    key.push(END);
    key
}

/// The key of what belongs to a message: those of one channel have the order of their offsets.
pub(super) fn key(channel: &ChannelName, offset: Offset) -> Vec<u8> {
    let mut key = prefix(channel);
    key.extend_from_slice(&offset.0.to_be_bytes());
    key
}

/// The offset in the key of a message.
pub(super) fn offset_in(key: &[u8]) -> Offset {
    let number = key.last_chunk().copied().unwrap_or_default();
    Offset(u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(numbers: [u64; 6], messages: usize, bytes: u64, age: u32) {
            let [epoch, oldest, newest, held, timestamp_ms, written_ms] = numbers;
            let record = ChannelRecord {
                epoch: Epoch(epoch),
                oldest: Offset(oldest),
                newest: Offset(newest),
                bytes: held,
                timestamp_ms,
                written_ms,
                limits: HistoryLimits {
                    messages,
                    bytes,
                    age: Duration::from_millis(age.into()),
                },
            };
            prop_assert_eq!(ChannelRecord::decode(&record.encode()).unwrap(), record);
        }

        #[test]
        fn other_bytes_are_an_error(bytes: Vec<u8>) {
            prop_assume!(bytes.len() != LENGTH || bytes[0] != VERSION);
            prop_assert!(ChannelRecord::decode(&bytes).is_err());
        }

        #[test]
        fn keys_have_the_order_of_channels_and_offsets(one: (String, u64), other: (String, u64)) {
            let name = |text: &str| ChannelName::parse(text).ok();
            let (Some(a), Some(b)) = (name(&one.0), name(&other.0)) else {
                return Ok(());
            };
            let (left, right) = (key(&a, Offset(one.1)), key(&b, Offset(other.1)));
            let expected = (a.as_str(), one.1).cmp(&(b.as_str(), other.1));
            prop_assert_eq!(left.cmp(&right), expected);
            prop_assert_eq!(offset_in(&left), Offset(one.1));
        }
    }
}
