//! What the broker sends as JSON: replies of sessions, and the objects of raw transports. One set of fields for all.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use widecast_protocol::{ChannelName, Cursor, Position};

use crate::error::{Error, Refusal};
use crate::event::Gap;
use crate::message::{DirectMessage, History, Member, Message};

/// A reply, or an object of a raw transport, with the fields that it has.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Frame {
    /// What it is. The messages of raw transports have none.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// The command that it answers.
    #[serde(default)]
    pub(crate) id: Option<u64>,
    pub(crate) channel: Option<String>,
    pub(crate) cursor: Option<String>,
    pub(crate) recovered: Option<bool>,
    pub(crate) ephemeral: Option<bool>,
    pub(crate) offset: Option<u64>,
    pub(crate) epoch: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) timestamp: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) duplicate: Option<bool>,
    pub(crate) member: Option<Member>,
    pub(crate) members: Option<Vec<Member>>,
    /// The id of the member after which the next page begins, if there is one.
    pub(crate) next: Option<String>,
    pub(crate) messages: Option<Vec<Frame>>,
    pub(crate) results: Option<Vec<Frame>>,
    pub(crate) session: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) heartbeat_ms: Option<u64>,
    pub(crate) limits: Option<Limits>,
    pub(crate) code: Option<String>,
    /// The text of an error.
    pub(crate) message: Option<String>,
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) retryable: bool,
    #[serde(default)]
    pub(crate) reconnect: bool,
    pub(crate) reconnect_after_ms: Option<u64>,
    pub(crate) retry_after_ms: Option<u64>,
}

/// What the broker takes, as it says in `welcome`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Limits {
    pub(crate) message_bytes: Option<usize>,
}

/// A value that is there, and may be `null`.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(input).map(Some)
}

/// What the broker sends instead of a frame.
const NO_FRAME: Error = Error::Protocol("frames of JSON");

impl Frame {
    /// Reads one frame.
    pub(crate) fn read(text: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(text).map_err(|_| NO_FRAME)
    }

    /// Reads what one WebSocket message brings: a frame, or an array of frames.
    pub(crate) fn read_all(text: &[u8]) -> Result<Vec<Self>, Error> {
        match text.first() {
            Some(b'[') => serde_json::from_slice(text).map_err(|_| NO_FRAME),
            _ => Self::read(text).map(|frame| vec![frame]),
        }
    }

    /// Whether it is of this type.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// When the broker wants to see the client again.
    pub(crate) fn again_in(&self) -> Option<Duration> {
        self.reconnect_after_ms.map(Duration::from_millis)
    }

    /// The message that it brings. In a session it tells its epoch; on raw transports, its cursor does.
    pub(crate) fn into_message(self) -> Result<Message, Error> {
        let read = || {
            let channel = self.channel?;
            let epoch = match self.epoch {
                Some(epoch) => epoch,
                None => position(&channel, &self.cursor?)?.epoch.to_string(),
            };
            Some(Message {
                channel,
                offset: self.offset?,
                epoch,
                event: self.event,
                message_id: self.message_id,
                origin: self.origin.unwrap_or_default(),
                timestamp: self.timestamp.unwrap_or_default(),
                data: self.data?,
            })
        };
        read().ok_or(Error::Protocol("a message with its place and data"))
    }

    /// The direct message that it brings.
    pub(crate) fn into_direct(self) -> Result<DirectMessage, Error> {
        let data = self.data.ok_or(Error::Protocol("a message with data"))?;
        Ok(DirectMessage {
            event: self.event,
            message_id: self.message_id,
            origin: self.origin.unwrap_or_default(),
            timestamp: self.timestamp.unwrap_or_default(),
            data,
        })
    }

    /// The gap that it tells.
    pub(crate) fn into_gap(self) -> Result<Gap, Error> {
        let cursor = self.cursor.ok_or(Error::Protocol("a gap with its place"))?;
        let channel = self.channel;
        Ok(Gap { channel, cursor })
    }

    /// The page of the history that it brings.
    pub(crate) fn into_history(self) -> Result<History, Error> {
        let messages = self.messages.ok_or(Error::Protocol("a history"))?;
        let messages = messages.into_iter().map(Frame::into_message);
        Ok(History {
            messages: messages.collect::<Result<_, _>>()?,
            cursor: self.cursor,
            recovered: self.recovered.unwrap_or(true),
        })
    }

    /// The refusal that the frame tells. `error`, `goodbye`, `unsubscribed` and `auth_required` have it in different fields.
    pub(crate) fn into_refusal(self) -> Refusal {
        let is_retryable = self.retryable || self.reconnect;
        let kind = self.kind.map(|kind| match kind.as_str() {
            "unsubscribed" => "the channel may be heard no longer".to_owned(),
            _ => kind,
        });
        let reason = self.message.or(self.reason).or(kind);
        Refusal {
            code: self.code,
            reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
            is_retryable,
            retry_after: self.retry_after_ms.map(Duration::from_millis),
        }
    }
}

/// The place in a channel that a cursor of this channel, or of several, tells.
pub(crate) fn position(channel: &str, cursor: &str) -> Option<Position> {
    let channel = ChannelName::parse(channel).ok()?;
    Cursor::parse(cursor).ok()?.position(&channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_sessions_and_of_raw_transports_are_the_same() {
        let session = br#"{"type":"message","channel":"a","data":null,"origin":"","offset":3,"epoch":"e","timestamp":5}"#;
        let one =
            br#"{"cursor":"e-3","channel":"a","offset":3,"origin":"","timestamp":5,"data":null}"#;
        let several = br#"{"cursor":"b=x-1,a=e-3","channel":"a","offset":3,"origin":"","timestamp":5,"data":null}"#;
        for text in [&session[..], one, several] {
            let message = Frame::read(text).unwrap().into_message().unwrap();
            assert_eq!(message.cursor(), "e-3");
            assert_eq!(message.json().get(), "null");
        }
    }

    #[test]
    fn a_websocket_message_may_bring_several_frames() {
        let frames = Frame::read_all(br#"[{"type":"pong","id":1},{"type":"pong"}]"#).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].id, Some(1));
        assert!(Frame::read_all(b"hello").is_err());
    }

    #[test]
    fn a_goodbye_with_a_time_to_come_back_is_no_refusal_for_good() {
        let refusal = |text: &[u8]| Frame::read(text).unwrap().into_refusal();
        let goodbye = refusal(br#"{"type":"goodbye","code":"shutting_down","reason":"r","reconnect":true,"reconnect_after_ms":5}"#);
        assert!(goodbye.is_retryable);
        assert_eq!(goodbye.to_string(), "r (shutting_down)");
        let error =
            refusal(br#"{"type":"error","code":"forbidden","message":"m","retryable":false}"#);
        assert!(!error.is_retryable);
    }
}
