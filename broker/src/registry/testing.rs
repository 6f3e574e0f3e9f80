//! Messages for the registry's tests.

use std::sync::Arc;

use widecast_protocol::{ChannelName, EncodedMessage, Epoch, Message, Offset, Origin, Payload};

/// A message of a channel's first epoch.
pub(super) fn message(channel: &str, offset: u64) -> Arc<EncodedMessage> {
    Arc::new(EncodedMessage::new(Message {
        channel: ChannelName::parse(channel).unwrap(),
        payload: Payload::text(format!("{channel} {offset}")),
        event: None,
        id: None,
        origin: Origin::unknown(),
        offset: Offset(offset),
        epoch: Epoch(1),
        timestamp_ms: 0,
        sender: None,
    }))
}
