//! Idempotency keys on the disk.

use widecast_protocol::{ChannelName, Offset};

use super::channel_record::prefix;
use crate::engine::EngineError;

/// What an idempotency key was used for, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsedKey {
    pub(super) offset: Offset,
    pub(super) used_ms: u64,
}

impl UsedKey {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.offset.0, self.used_ms].map(u64::to_be_bytes).concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
        let (offset, used_ms) = bytes.split_at_checked(8).unwrap_or_default();
        match (number(offset), number(used_ms)) {
            (Some(offset), Some(used_ms)) => Ok(Self {
                offset: Offset(offset),
                used_ms,
            }),
            _ => Err(EngineError::Corrupt {
                expected: "the use of an idempotency key",
            }),
        }
    }
}

/// Where an idempotency key is.
pub(super) fn place_of(channel: &ChannelName, text: &str) -> Vec<u8> {
    let mut place = prefix(channel);
    place.extend_from_slice(text.as_bytes());
    place
}
