//! The messages and members that a client hears of.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use widecast_protocol::{Payload, PayloadKind};

use crate::error::Error;

/// A message of a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Message {
    /// The channel.
    pub channel: String,
    /// The number of the message in its channel and epoch: 1, 2, 3… A client that publishes itself sees holes where its own
    /// messages are.
    pub offset: u64,
    /// The life of the channel's numbering that `offset` belongs to.
    pub epoch: String,
    /// The name of the event, if the publisher gave one.
    pub event: Option<String>,
    /// The id that the publisher gave the message, if it did.
    pub message_id: Option<String>,
    /// Who published it: the web origin of a page, as the broker has verified it, or nothing.
    pub origin: String,
    /// When the broker took it, in milliseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// The data, exactly as it came.
    pub(crate) data: Box<RawValue>,
}

impl Message {
    /// The data as a value that serde can read.
    ///
    /// # Errors
    /// When the data is no value of this type.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_str(self.data.get()).map_err(Error::Decode)
    }

    /// The data as JSON. Values that JSON lacks are tagged objects, as the protocol describes.
    pub fn json(&self) -> &RawValue {
        &self.data
    }

    /// The data, if it is a string.
    pub fn text(&self) -> Option<String> {
        serde_json::from_str(self.data.get()).ok()
    }

    /// The data, if it is bytes.
    pub fn bytes(&self) -> Option<Bytes> {
        let text = Bytes::copy_from_slice(self.data.get().as_bytes());
        let payload = Payload::from_json(text).ok()?;
        (payload.kind() == PayloadKind::Binary).then(|| payload.bytes().clone())
    }

    /// The place in the channel behind this message. For the place in all channels of a subscription there is
    /// [`Events::cursor`](crate::Events::cursor).
    pub fn cursor(&self) -> String {
        format!("{}-{}", self.epoch, self.offset)
    }
}

/// A message that a backend has sent to all sessions of a user. It is in no channel, has no place, and is not sent again to a session that
/// was cut when it came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DirectMessage {
    /// The name of the event, if the backend gave one.
    pub event: Option<String>,
    /// The id that the backend gave the message, if it did.
    pub message_id: Option<String>,
    /// The name of the API key that the backend has sent it with.
    pub origin: String,
    /// When the broker took it, in milliseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// The data, exactly as it came.
    pub(crate) data: Box<RawValue>,
}

impl DirectMessage {
    /// The data as a value that serde can read.
    ///
    /// # Errors
    /// When the data is no value of this type.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_str(self.data.get()).map_err(Error::Decode)
    }

    /// The data as JSON. Values that JSON lacks are tagged objects, as the protocol describes.
    pub fn json(&self) -> &RawValue {
        &self.data
    }
}

/// A member of a channel: a client that is listed as present.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// The same for all sessions of one client, as long as the broker runs.
    pub id: String,
    data: Box<RawValue>,
}

impl Member {
    /// What the member says of itself, as a value that serde can read.
    ///
    /// # Errors
    /// When it is no value of this type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.data.get()).map_err(Error::Decode)
    }

    /// What the member says of itself, as JSON.
    pub fn json(&self) -> &RawValue {
        &self.data
    }
}

/// Past messages of a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct History {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// The place behind the last of them: `since` for the next page, or where a subscription may begin. A channel that
    /// nobody has used has none.
    pub cursor: Option<String>,
    /// False when messages behind the place that was asked for are lost.
    pub recovered: bool,
}
