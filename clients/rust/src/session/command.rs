//! The commands of a session, and what waits for their answers.

use rand::random;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use widecast_protocol::ChannelName;

use crate::data::Data;
use crate::error::Error;
use crate::frame::Frame;
use crate::publish::Publication;

/// A command, with the fields that it has.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Command {
    /// What it asks for. The messages of a batch have none.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    /// What its answer repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) presence: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) messages: Option<Vec<Command>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

impl Command {
    /// A command of this type.
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind: Some(kind),
            ..Self::default()
        }
    }

    /// A command of this type about a channel.
    pub(crate) fn about(kind: &'static str, channel: &ChannelName) -> Self {
        Self {
            channel: Some(channel.to_string()),
            ..Self::new(kind)
        }
    }

    /// A message to publish. It is sent again after a cut, so it always has a key that keeps it from being published twice.
    pub(crate) fn publish(publication: Publication, data: &Data) -> Result<Self, Error> {
        let key = publication
            .idempotency_key
            .map(|key| key.as_str().to_owned());
        let key = key.or_else(|| publication.message_id.is_none().then(random_key));
        Ok(Self {
            channel: Some(publication.channel.to_string()),
            data: Some(data.to_json()?),
            event: publication.event.map(|name| name.as_str().to_owned()),
            message_id: publication.message_id.map(|id| id.as_str().to_owned()),
            idempotency_key: key,
            ..Self::default()
        })
    }

    /// The frame.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and JSON can be written as JSON")
    }
}

/// A key that nobody else uses.
pub(crate) fn random_key() -> String {
    format!("{:032x}", random::<u128>())
}

/// A command that somebody waits for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    /// The size of the largest message in it, as the broker counts.
    pub(crate) message_bytes: usize,
    /// Takes the answer.
    pub(crate) reply: oneshot::Sender<Result<Frame, Error>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_only_the_fields_that_were_given() {
        let channel = ChannelName::parse("a").unwrap();
        let command = Command {
            id: Some(7),
            history: Some(3),
            ..Command::about("subscribe", &channel)
        };
        insta::assert_snapshot!(
            command.to_json(),
            @r#"{"type":"subscribe","id":7,"channel":"a","history":3}"#
        );
    }
}
