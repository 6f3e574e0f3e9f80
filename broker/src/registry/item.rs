//! What waits in an outbox, one item after another.

use std::sync::Arc;

use bytes::Bytes;
use widecast_protocol::{ChannelName, EncodedMessage, Position};

use crate::config::SlowConsumer;

/// What an item takes besides its bytes, about: its own size, and the allocation that holds the bytes.
const OVERHEAD_BYTES: usize = 64;

/// One subscription in one outbox, from one time that the client is told its place to the next: joining a channel once more,
/// and asking where one is, begins another. What is lost afterwards is never told by a gap before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane(pub(super) u32);

/// One thing that waits.
pub(super) enum Item {
    /// A message of which nothing has to be known, or the rest of something that is partly written.
    Frame(Bytes),
    /// What is no message: an answer, a heartbeat, or who came and went. It can be had nowhere else.
    Answer(Bytes),
    /// A pong: a newer one may take its place
    /// ([RFC 6455, section 5.5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.3)).
    Pong(Bytes),
    /// A message that may be dropped, or that moves the client's place.
    Message {
        /// All of it, or what follows the cursor of several channels.
        bytes: Bytes,
        message: Arc<EncodedMessage>,
        lane: Lane,
        /// `Disconnect` if it may not be dropped.
        policy: SlowConsumer,
    },
    /// Messages up to here were lost.
    Gap {
        channel: ChannelName,
        cursor: Position,
        lane: Lane,
    },
    /// A message that was dropped, of which an earlier gap tells.
    Gone,
}

impl Item {
    /// The bytes that are there already: a gap's are made when they are written.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(bytes)
            | Self::Answer(bytes)
            | Self::Pong(bytes)
            | Self::Message { bytes, .. } => bytes,
            Self::Gap { .. } | Self::Gone => &[],
        }
    }

    /// The same, to keep.
    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Frame(bytes)
            | Self::Answer(bytes)
            | Self::Pong(bytes)
            | Self::Message { bytes, .. } => bytes,
            Self::Gap { .. } | Self::Gone => Bytes::new(),
        }
    }

    /// What the item counts. A gap counts nothing: it takes the place of what did, and there are never more gaps than
    /// subscriptions and messages.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Frame(bytes)
            | Self::Answer(bytes)
            | Self::Pong(bytes)
            | Self::Message { bytes, .. } => size_with(bytes.len()),
            Self::Gap { .. } | Self::Gone => 0,
        }
    }

    /// How much of that is an answer.
    pub(super) fn owed(&self) -> usize {
        match self {
            Self::Answer(_) | Self::Pong(_) => self.size(),
            Self::Frame(_) | Self::Message { .. } | Self::Gap { .. } | Self::Gone => 0,
        }
    }

    /// Where a client is that has been sent this.
    pub(super) fn place(&self) -> Option<(&ChannelName, Position)> {
        match self {
            Self::Message { message, .. } => Some((&message.message().channel, message.position())),
            Self::Gap {
                channel, cursor, ..
            } => Some((channel, *cursor)),
            Self::Frame(_) | Self::Answer(_) | Self::Pong(_) | Self::Gone => None,
        }
    }

    /// The subscription it belongs to, if that matters.
    pub(super) fn lane(&self) -> Option<Lane> {
        match self {
            Self::Message { lane, .. } | Self::Gap { lane, .. } => Some(*lane),
            Self::Frame(_) | Self::Answer(_) | Self::Pong(_) | Self::Gone => None,
        }
    }

    pub(super) fn may_be_dropped(&self) -> bool {
        matches!(self, Self::Message { policy, .. } if *policy != SlowConsumer::Disconnect)
    }
}

/// What an item with so many bytes counts.
pub(super) fn size_with(bytes: usize) -> usize {
    bytes + OVERHEAD_BYTES
}
