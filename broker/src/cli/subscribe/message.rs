//! A message as a transport tells it: each tells as much as its form has room for.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A message that was heard; also the object that `--output json` prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HeardMessage {
    /// The channel, where the transport tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<String>,
    /// The place after this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
    /// The number of the message in its channel and epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<u64>,
    /// The epoch of the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<String>,
    /// The name of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<String>,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    /// When the broker took it, in milliseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<u64>,
    /// The data, exactly as it came.
    pub(super) data: Box<RawValue>,
}

impl HeardMessage {
    /// A message of which only the data is known.
    pub(super) fn of(data: Box<RawValue>) -> Self {
        Self {
            channel: None,
            cursor: None,
            offset: None,
            epoch: None,
            event: None,
            origin: None,
            timestamp: None,
            data,
        }
    }
}
