//! Messages to publish that come over HTTP: the body of a batch, or lines of NDJSON.

use bytes::Bytes;

use super::command::{MESSAGES, MESSAGES_LIMIT, NO_MESSAGE, publish_fields};
use super::field::{Limit, List, PublishFields};
use super::source::{JsonSource, MessagePackSource, Shape, Source};
use super::{Codec, DecodeError};
use crate::name::{ChannelName, EventName, IdempotencyKey, MessageId};
use crate::payload::Payload;

/// A message to publish on one or several channels.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchMessage {
    /// The channels, one at least, each once, in the order given.
    pub channels: Vec<ChannelName>,
    /// What to publish.
    pub payload: Payload,
    /// The name of the event.
    pub event: Option<EventName>,
    /// Makes a repetition harmless, for each channel.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The id that receivers are shown; it is also the idempotency key if there is no other.
    pub message_id: Option<MessageId>,
}

/// Reads `{"messages":[…]}`, each message of which is read or refused for itself.
///
/// # Errors
/// When the whole cannot be read, or has no `messages`.
pub fn decode_batch(
    codec: Codec,
    body: &Bytes,
) -> Result<Vec<Result<BatchMessage, DecodeError>>, DecodeError> {
    match codec {
        Codec::Json => batch(JsonSource::new(body)?),
        Codec::MessagePack => batch(MessagePackSource::new(body)),
    }
}

/// Reads one line of NDJSON.
///
/// # Errors
/// When it is not one message.
pub fn decode_batch_line(line: &Bytes) -> Result<BatchMessage, DecodeError> {
    let mut source = JsonSource::new(line)?;
    let fields = publish_fields(&mut source)?;
    source.end()?;
    message(fields)
}

/// How many publications one batch may ask for: each message counts once for each of its channels. A few kilobytes, compressed,
/// could otherwise ask for ten million.
const PUBLICATIONS_LIMIT: Limit = Limit {
    what: "publications in one batch, counting each message once for each of its channels",
    items: 10_000,
};

fn batch<'a, S: Source<'a>>(
    mut source: S,
) -> Result<Vec<Result<BatchMessage, DecodeError>>, DecodeError> {
    let mut messages = List::Absent;
    let mut publications = 0;
    let mut counted = |source: &mut S| {
        let fields = publish_fields(source)?;
        publications += fields.as_ref().map_or(1, PublishFields::channel_count);
        PUBLICATIONS_LIMIT.check_total(publications)?;
        Ok(fields)
    };
    if source.shape() == Shape::Object {
        source.object(|source, key| match key {
            "messages" => messages.read(source, MESSAGES_LIMIT, &mut counted),
            _ => source.scalar().map(|_| ()),
        })?;
    } else {
        source.scalar()?;
    }
    source.end()?;
    let messages = messages.items("messages", MESSAGES)?;
    Ok(messages.into_iter().map(message).collect())
}

fn message(fields: Option<PublishFields<'_>>) -> Result<BatchMessage, DecodeError> {
    let mut fields = fields.ok_or(NO_MESSAGE)?;
    let channels = fields.take_channels()?;
    let content = fields.content()?;
    Ok(BatchMessage {
        channels,
        payload: content.payload,
        event: content.event,
        idempotency_key: content.idempotency_key,
        message_id: content.message_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(messages: &[Result<BatchMessage, DecodeError>]) -> String {
        let line = |message: &Result<BatchMessage, DecodeError>| match message {
            Ok(message) => format!("{message:?}"),
            Err(error) => format!("{}: {error}", error.code()),
        };
        messages.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_message_is_read_or_refused_for_itself() {
        let json = Bytes::from_static(
            br#"{"messages":[
                {"channels":["a","b"],"data":{"n":1},"event":"e","idempotency_key":"k"},
                {"channel":"a","data":"text"},
                {"channels":[],"data":1},
                {"channels":["a",2],"data":1},
                {"channels":"a","data":1},
                {"channels":["a"]},
                {"data":1},
                [],
                {"channels":["a",""],"data":1}
            ],"more":1}"#,
        );
        let messages = decode_batch(Codec::Json, &json).unwrap();
        insta::assert_snapshot!(shown(&messages), @r#"
        BatchMessage { channels: ["a", "b"], payload: Payload { kind: Json, bytes: b"{\"n\":1}" }, event: Some("e"), idempotency_key: Some("k"), message_id: None }
        BatchMessage { channels: ["a"], payload: Payload { kind: Text, bytes: b"text" }, event: None, idempotency_key: None, message_id: None }
        bad_command: `channels` is missing: expected one channel at least
        bad_command: `channels`: expected the names of channels as an array of strings
        bad_command: `channels`: expected the names of channels as an array of strings
        bad_command: `data` is missing: expected the value to publish
        bad_command: `channel` is missing: expected the name of a channel as a string
        bad_command: expected a message: an object with `channel` and `data`
        bad_channel_name: channel name is empty
        "#);
        let body = Payload::from_json(json).unwrap().to_msgpack();
        let from_msgpack = decode_batch(Codec::MessagePack, &body).unwrap();
        insta::assert_snapshot!(shown(&from_msgpack), @r#"
        BatchMessage { channels: ["a", "b"], payload: Payload { kind: MessagePack, bytes: b"\x81\xa1n\x01" }, event: Some("e"), idempotency_key: Some("k"), message_id: None }
        BatchMessage { channels: ["a"], payload: Payload { kind: Text, bytes: b"text" }, event: None, idempotency_key: None, message_id: None }
        bad_command: `channels` is missing: expected one channel at least
        bad_command: `channels`: expected the names of channels as an array of strings
        bad_command: `channels`: expected the names of channels as an array of strings
        bad_command: `data` is missing: expected the value to publish
        bad_command: `channel` is missing: expected the name of a channel as a string
        bad_command: expected a message: an object with `channel` and `data`
        bad_channel_name: channel name is empty
        "#);
    }

    #[test]
    fn a_channel_that_is_named_twice_is_one_channel() {
        let json = br#"{"messages":[{"channels":["b","a","b","a"],"data":1}]}"#;
        let messages = decode_batch(Codec::Json, &Bytes::from_static(json)).unwrap();
        let names = messages[0].as_ref().unwrap().channels.iter();
        assert_eq!(
            names.map(ChannelName::as_str).collect::<Vec<_>>(),
            ["b", "a"]
        );
    }

    #[test]
    fn a_body_without_messages_is_refused() {
        let refused = |body: &'static str| {
            decode_batch(Codec::Json, &Bytes::from_static(body.as_bytes()))
                .unwrap_err()
                .to_string()
        };
        let missing = "`messages` is missing: expected an array of messages";
        assert_eq!(refused("{}"), missing);
        assert_eq!(refused("[]"), missing);
        assert_eq!(
            refused("{\"messages\":1}"),
            "`messages`: expected an array of messages"
        );
        assert_eq!(
            refused("{\"messages\":[}"),
            "not JSON: expected a value at byte 13"
        );
    }

    #[test]
    fn a_batch_of_too_many_publications_is_refused() {
        let batch = |messages: usize, channels: usize| {
            let channels = vec!["\"a\""; channels].join(",");
            let message = format!("{{\"channels\":[{channels}],\"data\":1}}");
            let json = format!("{{\"messages\":[{}]}}", vec![message; messages].join(","));
            decode_batch(Codec::Json, &json.into())
        };
        assert_eq!(batch(10, 1000).unwrap().len(), 10);
        let error = batch(11, 1000).unwrap_err();
        insta::assert_snapshot!(format!("{}: {error}", error.code()), @"message_too_large: more than 10000 publications in one batch, counting each message once for each of its channels");
    }

    #[test]
    fn a_line_is_one_message() {
        let line = |line: &'static str| decode_batch_line(&Bytes::from_static(line.as_bytes()));
        let message = line("{\"channel\":\"a\",\"data\":[1]}\r\n").unwrap();
        assert_eq!(message.channels, [ChannelName::parse("a").unwrap()]);
        assert_eq!(message.payload, Payload::from_json("[1]").unwrap());
        for bad in ["", "1", "{}", "{\"channel\":\"a\",\"data\":1} {}"] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }
}
