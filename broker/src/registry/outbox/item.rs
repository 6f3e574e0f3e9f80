//! The items of which an outbox is made.

use std::sync::Arc;

use bytes::Bytes;
use widecast_protocol::{ChannelName, EncodedMessage, Position};

use crate::config::SlowConsumerPolicy;

/// About how many bytes an item takes besides its own: the size of the item, and the allocation that holds the bytes.
const OVERHEAD_BYTES: usize = 64;

/// Tells the items of one subscription from those of others in the same outbox. When the client is told its place (because it
/// joins the channel again, or asks), the subscription gets a new lane. A message that is lost in a lane is never told of by a gap
/// of the lane before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane(pub(in crate::registry) u32);

/// One thing that waits.
pub(in crate::registry) enum Item {
    /// Bytes that are only written: a message that is neither dropped nor moves a place, or the rest of an item that is partly
    /// written.
    Frame(Bytes),
    /// Bytes that are no message: an answer, a heartbeat, or the news of who came and went. The client can have them from
    /// nowhere else.
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
        policy: SlowConsumerPolicy,
    },
    /// Messages up to here were lost.
    Gap {
        channel: ChannelName,
        cursor: Position,
        lane: Lane,
    },
    /// A dropped message, which an earlier gap covers.
    Gone,
}

impl Item {
    /// The bytes that are there already: a gap's are made when they are written.
    pub(in crate::registry) fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(bytes)
            | Self::Answer(bytes)
            | Self::Pong(bytes)
            | Self::Message { bytes, .. } => bytes,
            Self::Gap { .. } | Self::Gone => &[],
        }
    }

    /// The same, to keep.
    pub(in crate::registry) fn into_bytes(self) -> Bytes {
        match self {
            Self::Frame(bytes)
            | Self::Answer(bytes)
            | Self::Pong(bytes)
            | Self::Message { bytes, .. } => bytes,
            Self::Gap { .. } | Self::Gone => Bytes::new(),
        }
    }

    /// How many bytes the item counts. A gap counts none: it takes the place of a message that did, and there are never more
    /// gaps than subscriptions and messages.
    pub(in crate::registry) fn size(&self) -> usize {
        match self {
            Self::Frame(bytes)
            | Self::Answer(bytes)
            | Self::Pong(bytes)
            | Self::Message { bytes, .. } => size_with(bytes.len()),
            Self::Gap { .. } | Self::Gone => 0,
        }
    }

    /// How many of these bytes belong to an answer.
    pub(in crate::registry) fn owed(&self) -> usize {
        match self {
            Self::Answer(_) | Self::Pong(_) => self.size(),
            Self::Frame(_) | Self::Message { .. } | Self::Gap { .. } | Self::Gone => 0,
        }
    }

    /// The channel, and the place of a client that has been sent the item.
    pub(in crate::registry) fn place(&self) -> Option<(&ChannelName, Position)> {
        match self {
            Self::Message { message, .. } => Some((&message.message().channel, message.position())),
            Self::Gap {
                channel, cursor, ..
            } => Some((channel, *cursor)),
            Self::Frame(_) | Self::Answer(_) | Self::Pong(_) | Self::Gone => None,
        }
    }

    /// The subscription it belongs to, if that matters.
    pub(in crate::registry) fn lane(&self) -> Option<Lane> {
        match self {
            Self::Message { lane, .. } | Self::Gap { lane, .. } => Some(*lane),
            Self::Frame(_) | Self::Answer(_) | Self::Pong(_) | Self::Gone => None,
        }
    }

    pub(in crate::registry) fn may_be_dropped(&self) -> bool {
        matches!(self, Self::Message { policy, .. } if *policy != SlowConsumerPolicy::Disconnect)
    }
}

/// The size that an item with so many bytes counts.
pub(in crate::registry) fn size_with(bytes: usize) -> usize {
    bytes + OVERHEAD_BYTES
}
