//! The receipt that a publisher is given: it says where the message is now.

use serde::Serialize;
use widecast_protocol::ChannelName;

use crate::engine::Published;

/// The answer to one message on one channel.
#[derive(Debug, Serialize)]
pub(super) struct Receipt<'a> {
    channel: &'a str,
    offset: u64,
    epoch: String,
    subscribers: u64,
    duplicate: bool,
}

impl<'a> Receipt<'a> {
    /// The receipt for a message that has been published on a channel.
    pub(super) fn new(channel: &'a ChannelName, published: &Published) -> Self {
        Self {
            channel: channel.as_str(),
            offset: published.position.offset.0,
            epoch: published.position.epoch.to_string(),
            subscribers: published.subscribers,
            duplicate: published.duplicate,
        }
    }
}
