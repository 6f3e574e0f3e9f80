//! What goes into an engine, and what comes back.

use widecast_protocol::{
    ChannelName, EventName, IdempotencyKey, Message, MessageId, Origin, Payload, Position,
    SenderKey,
};

use crate::history::HistoryLimits;

/// A message before it has its place: authorised and checked by whoever made it.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The channel to publish on.
    pub channel: ChannelName,
    /// What to publish.
    pub payload: Payload,
    /// The name of the event.
    pub event: Option<EventName>,
    /// Who publishes, as the broker has verified it.
    pub origin: Origin,
    /// The key of the sender, to whom the message is not delivered.
    pub sender: Option<SenderKey>,
    /// Makes a repetition within the window harmless.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What the sender calls it.
    pub id: Option<MessageId>,
    /// How much history the channel's namespace keeps.
    pub history: HistoryLimits,
}

impl Publication {
    /// The message that this becomes.
    pub(super) fn at(self, position: Position, timestamp_ms: u64) -> Message {
        Message {
            channel: self.channel,
            payload: self.payload,
            event: self.event,
            id: self.id,
            origin: self.origin,
            offset: position.offset,
            epoch: position.epoch,
            timestamp_ms,
            sender: self.sender,
        }
    }
}

/// A message has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The place.
    pub position: Position,
    /// Whether it had been published before with the same idempotency key; then nobody heard it again.
    pub duplicate: bool,
    /// How many subscribers it was handed to; of this node, if the engine has several.
    pub subscribers: u64,
}
