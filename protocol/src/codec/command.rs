//! Commands: a frame or an array of frames from a client.

use bytes::Bytes;

use super::field::{Field, Limit, List, PublishFields};
use super::source::{JsonSource, MessagePackSource, Scalar, Shape, Source};
use super::{Codec, DecodeError};
use crate::command::{
    Command, CommandId, CommandKind, HistoryRequest, Listing, PresenceRequest, Publish, Subscribe,
    Token,
};
use crate::payload::{Payload, PayloadKind};

/// A frame that could not be read as a command.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedCommand {
    /// Its id, if it has a good one.
    pub id: Option<CommandId>,
    /// What is wrong with it.
    pub error: DecodeError,
    /// Whether it was a message to be published.
    pub is_message: bool,
}

/// Reads a frame or an array of frames, each of which is a command or refused for itself.
///
/// # Errors
/// When the whole cannot be read: then none of it is a command.
pub fn decode_commands(
    codec: Codec,
    frames: &Bytes,
) -> Result<Vec<Result<Command, RefusedCommand>>, DecodeError> {
    match codec {
        Codec::Json => decode(JsonSource::new(frames)?),
        Codec::MessagePack => decode(MessagePackSource::new(frames)),
    }
}

const FRAMES_LIMIT: Limit = Limit {
    what: "frames at once",
    items: 1024,
};

/// The messages that one batch may have.
pub(super) const MESSAGES_LIMIT: Limit = Limit {
    what: "messages in one batch",
    items: 10_000,
};

fn decode<'a, S: Source<'a>>(
    mut source: S,
) -> Result<Vec<Result<Command, RefusedCommand>>, DecodeError> {
    let mut commands = Vec::new();
    match source.shape() {
        Shape::Array => source.array(|source| {
            FRAMES_LIMIT.check(commands.len())?;
            commands.push(command(source)?);
            Ok(())
        })?,
        Shape::Object | Shape::Scalar => commands.push(command(&mut source)?),
    }
    source.end()?;
    Ok(commands)
}

/// Reads one frame. The outer error ends the reading, the inner one refuses the command.
fn command<'a>(
    source: &mut impl Source<'a>,
) -> Result<Result<Command, RefusedCommand>, DecodeError> {
    let mut fields = CommandFields::default();
    if source.shape() != Shape::Object {
        source.scalar()?;
        return Ok(Err(RefusedCommand {
            id: None,
            error: DecodeError::Shape {
                expected: "a frame: an object with a `type`, or an array of such objects",
            },
            is_message: false,
        }));
    }
    source.object(|source, key| fields.read(source, key))?;
    Ok(fields.command())
}

/// The fields of all commands together: each command uses some of them.
#[derive(Default)]
struct CommandFields<'a> {
    kind: Field<'a>,
    id: Field<'a>,
    token: Field<'a>,
    cursor: Field<'a>,
    presence: Option<Listing>,
    history: Field<'a>,
    since: Field<'a>,
    after: Field<'a>,
    limit: Field<'a>,
    messages: List<Option<PublishFields<'a>>>,
    publish: PublishFields<'a>,
}

impl<'a> CommandFields<'a> {
    fn read<S: Source<'a>>(&mut self, source: &mut S, key: &str) -> Result<(), DecodeError> {
        match key {
            "type" => self.kind.read(source),
            "id" => self.id.read(source),
            "token" => self.token.read(source),
            "cursor" => self.cursor.read(source),
            "presence" => {
                self.presence = listing_of(source.payload()?);
                Ok(())
            }
            "history" => self.history.read(source),
            "since" => self.since.read(source),
            "after" => self.after.read(source),
            "limit" => self.limit.read(source),
            "messages" => self.messages.read(source, MESSAGES_LIMIT, publish_fields),
            _ => self.publish.read(source, key),
        }
    }

    fn command(mut self) -> Result<Command, RefusedCommand> {
        let kind = std::mem::take(&mut self.kind).text("type", KNOWN_TYPES);
        let is_message = kind.as_ref().is_ok_and(|kind| kind == "publish");
        let refused = |id, error| RefusedCommand {
            id,
            error,
            is_message,
        };
        let id = match command_id(std::mem::take(&mut self.id)) {
            Ok(id) => id,
            Err(error) => return Err(refused(None, error)),
        };
        match kind.and_then(|kind| self.kind(&kind)) {
            Ok(kind) => Ok(Command { id, kind }),
            Err(error) => Err(refused(id, error)),
        }
    }

    fn kind(self, kind: &str) -> Result<CommandKind, DecodeError> {
        match kind {
            "authenticate" => {
                let token = self.token.text("token", TOKEN)?;
                let token = Token::new(token);
                let cursor = self.cursor.optional_cursor("cursor")?;
                Ok(CommandKind::Authenticate { token, cursor })
            }
            "subscribe" => self.subscribe().map(CommandKind::Subscribe),
            "unsubscribe" => {
                let channel = self.publish.channel.channel()?;
                Ok(CommandKind::Unsubscribe { channel })
            }
            "publish" => publish(self.publish).map(CommandKind::Publish),
            "presence" => self.presence_request().map(CommandKind::Presence),
            "history" => self.history_request().map(CommandKind::History),
            "batch" => {
                let messages = self.messages.items("messages", MESSAGES)?;
                let messages = messages.into_iter().map(batched).collect();
                Ok(CommandKind::Batch { messages })
            }
            "ping" => Ok(CommandKind::Ping),
            other => Err(DecodeError::UnknownType {
                found: other.chars().take(SHOWN_CHARACTERS).collect(),
                known: KNOWN_TYPES,
            }),
        }
    }

    fn subscribe(self) -> Result<Subscribe, DecodeError> {
        Ok(Subscribe {
            channel: self.publish.channel.channel()?,
            cursor: self.cursor.optional_cursor("cursor")?,
            presence: self.presence,
            history: history_count(self.history)?,
            token: self.token.optional_text("token", TOKEN)?.map(Token::new),
        })
    }

    fn presence_request(self) -> Result<PresenceRequest, DecodeError> {
        let after = self
            .after
            .optional_text("after", "the id of a member as a string")?;
        Ok(PresenceRequest {
            channel: self.publish.channel.channel()?,
            after: after.map(std::borrow::Cow::into_owned),
            limit: self.limit.optional_count("limit")?,
        })
    }

    fn history_request(self) -> Result<HistoryRequest, DecodeError> {
        Ok(HistoryRequest {
            channel: self.publish.channel.channel()?,
            since: self.since.optional_cursor("since")?,
            limit: self.limit.optional_count("limit")?,
        })
    }
}

const KNOWN_TYPES: &str =
    "one of authenticate, subscribe, unsubscribe, publish, presence, history, batch, ping";
pub(super) const MESSAGES: &str = "an array of messages";
const SHOWN_CHARACTERS: usize = 64;
const TOKEN: &str = "a token as a string";

pub(super) fn command_id(field: Field<'_>) -> Result<Option<CommandId>, DecodeError> {
    match field.value() {
        None => Ok(None),
        Some(Scalar::Whole(number)) => Ok(Some(CommandId::Number(number))),
        Some(Scalar::Text(text)) if (1..=CommandId::MAX_BYTES).contains(&text.len()) => {
            Ok(Some(CommandId::Text(text.into_owned())))
        }
        Some(_) => Err(DecodeError::WrongKind {
            field: "id",
            expected: "a whole number, or 1 to 64 bytes of text",
        }),
    }
}

/// Whether to be listed, and with what: `true` is to be listed without data, `false` not to be listed, `null` says nothing.
pub fn listing_of(data: Payload) -> Option<Listing> {
    match (data.kind(), &**data.bytes()) {
        (PayloadKind::Json, b"null") | (PayloadKind::MessagePack, b"\xC0") => None,
        (PayloadKind::Json, b"false") | (PayloadKind::MessagePack, b"\xC2") => {
            Some(Listing::Unlisted)
        }
        (PayloadKind::Json, b"true") | (PayloadKind::MessagePack, b"\xC3") => {
            Some(Listing::Listed(Payload::null()))
        }
        _ => Some(Listing::Listed(data)),
    }
}

/// How many past messages to deliver: `true` is all that there are.
fn history_count(field: Field<'_>) -> Result<Option<u32>, DecodeError> {
    match field.value() {
        None | Some(Scalar::Bool(false)) => Ok(None),
        Some(Scalar::Bool(true)) => Ok(Some(u32::MAX)),
        Some(Scalar::Whole(count)) => Ok(Some(u32::try_from(count).unwrap_or(u32::MAX))),
        Some(_) => Err(DecodeError::WrongKind {
            field: "history",
            expected: "a whole number, or true for all",
        }),
    }
}

/// Reads the fields of a message in a batch; none if it is no object.
pub(super) fn publish_fields<'a, S: Source<'a>>(
    source: &mut S,
) -> Result<Option<PublishFields<'a>>, DecodeError> {
    if source.shape() != Shape::Object {
        source.scalar()?;
        return Ok(None);
    }
    let mut fields = PublishFields::default();
    source.object(|source, key| fields.read(source, key))?;
    Ok(Some(fields))
}

/// The error for an element of a batch that is no object.
pub(super) const NO_MESSAGE: DecodeError = DecodeError::Shape {
    expected: "a message: an object with `channel` and `data`",
};

fn batched(fields: Option<PublishFields<'_>>) -> Result<Publish, DecodeError> {
    publish(fields.ok_or(NO_MESSAGE)?)
}

fn publish(mut fields: PublishFields<'_>) -> Result<Publish, DecodeError> {
    let channel = std::mem::take(&mut fields.channel).channel()?;
    let content = fields.content()?;
    Ok(Publish {
        channel,
        payload: content.payload,
        event: content.event,
        idempotency_key: content.idempotency_key,
        message_id: content.message_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads JSON frames, and the same frames in MessagePack: both have to be understood alike.
    fn decode_both(json: &str) -> Vec<Result<Command, RefusedCommand>> {
        let json = Bytes::copy_from_slice(json.as_bytes());
        let frames = Payload::from_json(json.clone()).unwrap().to_msgpack();
        let from_json = decode_commands(Codec::Json, &json).unwrap();
        let from_msgpack = decode_commands(Codec::MessagePack, &frames).unwrap();
        let plain = |commands: &[Result<Command, RefusedCommand>]| format!("{:?}", plain(commands));
        assert_eq!(plain(&from_json), plain(&from_msgpack));
        from_json
    }

    /// The commands, with payloads in the one codec.
    fn plain(commands: &[Result<Command, RefusedCommand>]) -> Vec<Result<Command, RefusedCommand>> {
        let normal = |payload: &mut Payload| {
            *payload = Payload::from_msgpack(payload.to_msgpack()).unwrap();
        };
        let mut commands = commands.to_vec();
        for command in commands.iter_mut().flatten() {
            match &mut command.kind {
                CommandKind::Publish(publish) => normal(&mut publish.payload),
                CommandKind::Subscribe(subscribe) => {
                    if let Some(Listing::Listed(data)) = &mut subscribe.presence {
                        normal(data);
                    }
                }
                CommandKind::Batch { messages } => {
                    for publish in messages.iter_mut().flatten() {
                        normal(&mut publish.payload);
                    }
                }
                _ => {}
            }
        }
        commands
    }

    /// The commands, or the refusals in words, one a line.
    fn shown(json: &str) -> String {
        let line = |command: &Result<Command, RefusedCommand>| match command {
            Ok(command) => format!("{:?} {:?}", command.id, command.kind),
            Err(RefusedCommand { id, error, .. }) => format!("{id:?} {}: {error}", error.code()),
        };
        let lines: Vec<_> = decode_both(json).iter().map(line).collect();
        lines.join("\n")
    }

    #[test]
    fn each_command_is_read_from_either_codec() {
        insta::assert_snapshot!(shown(r#"[
            {"type":"authenticate","id":1,"token":"a.b.c"},
            {"type":"authenticate","token":"a.b.c","cursor":"1-2"},
            {"type":"subscribe","id":"s","channel":"news"},
            {"channel":"news","cursor":"1x-5","presence":true,"history":true,"type":"subscribe"},
            {"type":"subscribe","channel":"news","cursor":"a=1-2,b=3-4","presence":{"name":"Ann"},"history":20},
            {"type":"subscribe","channel":"news","cursor":null,"presence":null,"history":null,"id":null},
            {"type":"subscribe","channel":"news","presence":false},
            {"type":"subscribe","channel":"news","token":"a.b.c"},
            {"type":"unsubscribe","channel":"news"},
            {"type":"publish","channel":"news","data":{"deep":[1,{}]},"event":"e","idempotency_key":"k","message_id":"m-1","more":[{}]},
            {"type":"publish","channel":"news","data":"text"},
            {"type":"publish","channel":"news","data":{"$type":"binary","value":"AAE="}},
            {"type":"presence","channel":"news"},
            {"type":"presence","channel":"news","after":"m1","limit":2},
            {"type":"history","channel":"news","since":"1-2","limit":10},
            {"type":"batch","messages":[{"channel":"a","data":1},{"channel":"b","data":null}]},
            {"type":"ping"}
        ]"#), @r#"
        Some(Number(1)) Authenticate { token: Token(…), cursor: None }
        None Authenticate { token: Token(…), cursor: Some(One(Position { epoch: Epoch(1), offset: Offset(2) })) }
        Some(Text("s")) Subscribe(Subscribe { channel: "news", cursor: None, presence: None, history: None, token: None })
        None Subscribe(Subscribe { channel: "news", cursor: Some(One(Position { epoch: Epoch(69), offset: Offset(5) })), presence: Some(Listed(Payload { kind: Json, bytes: b"null" })), history: Some(4294967295), token: None })
        None Subscribe(Subscribe { channel: "news", cursor: Some(Several(CursorVector { entries: {"a": Position { epoch: Epoch(1), offset: Offset(2) }, "b": Position { epoch: Epoch(3), offset: Offset(4) }} })), presence: Some(Listed(Payload { kind: Json, bytes: b"{\"name\":\"Ann\"}" })), history: Some(20), token: None })
        None Subscribe(Subscribe { channel: "news", cursor: None, presence: None, history: None, token: None })
        None Subscribe(Subscribe { channel: "news", cursor: None, presence: Some(Unlisted), history: None, token: None })
        None Subscribe(Subscribe { channel: "news", cursor: None, presence: None, history: None, token: Some(Token(…)) })
        None Unsubscribe { channel: "news" }
        None Publish(Publish { channel: "news", payload: Payload { kind: Json, bytes: b"{\"deep\":[1,{}]}" }, event: Some("e"), idempotency_key: Some("k"), message_id: Some("m-1") })
        None Publish(Publish { channel: "news", payload: Payload { kind: Text, bytes: b"text" }, event: None, idempotency_key: None, message_id: None })
        None Publish(Publish { channel: "news", payload: Payload { kind: Binary, bytes: b"\0\x01" }, event: None, idempotency_key: None, message_id: None })
        None Presence(PresenceRequest { channel: "news", after: None, limit: None })
        None Presence(PresenceRequest { channel: "news", after: Some("m1"), limit: Some(2) })
        None History(HistoryRequest { channel: "news", since: Some(One(Position { epoch: Epoch(1), offset: Offset(2) })), limit: Some(10) })
        None Batch { messages: [Ok(Publish { channel: "a", payload: Payload { kind: Json, bytes: b"1" }, event: None, idempotency_key: None, message_id: None }), Ok(Publish { channel: "b", payload: Payload { kind: Json, bytes: b"null" }, event: None, idempotency_key: None, message_id: None })] }
        None Ping
        "#);
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_expected() {
        insta::assert_snapshot!(shown(r#"[
            1,
            {},
            {"type":1},
            {"id":7,"type":"publsih"},
            {"id":-1,"type":"ping"},
            {"id":"","type":"ping"},
            {"id":1.5,"type":"ping"},
            {"id":1,"type":"authenticate"},
            {"id":2,"type":"subscribe"},
            {"id":3,"type":"subscribe","channel":5},
            {"id":4,"type":"subscribe","channel":""},
            {"id":5,"type":"subscribe","channel":"a","cursor":"x"},
            {"id":6,"type":"subscribe","channel":"a","history":"all"},
            {"id":6,"type":"subscribe","channel":"a","token":7},
            {"id":7,"type":"publish","channel":"a"},
            {"id":8,"type":"publish","channel":"a","data":1,"event":"a\nb"},
            {"id":9,"type":"publish","channel":"a","data":1,"idempotency_key":"ä"},
            {"id":10,"type":"publish","channel":"a","data":1,"message_id":" "},
            {"id":10,"type":"history","channel":"a","limit":-5},
            {"id":11,"type":"batch"},
            {"id":12,"type":"batch","messages":{}}
        ]"#), @r#"
        None bad_command: expected a frame: an object with a `type`, or an array of such objects
        None bad_command: `type` is missing: expected one of authenticate, subscribe, unsubscribe, publish, presence, history, batch, ping
        None bad_command: `type`: expected one of authenticate, subscribe, unsubscribe, publish, presence, history, batch, ping
        Some(Number(7)) bad_command: unknown `type` "publsih": expected one of authenticate, subscribe, unsubscribe, publish, presence, history, batch, ping
        None bad_command: `id`: expected a whole number, or 1 to 64 bytes of text
        None bad_command: `id`: expected a whole number, or 1 to 64 bytes of text
        None bad_command: `id`: expected a whole number, or 1 to 64 bytes of text
        Some(Number(1)) bad_command: `token` is missing: expected a token as a string
        Some(Number(2)) bad_command: `channel` is missing: expected the name of a channel as a string
        Some(Number(3)) bad_command: `channel`: expected the name of a channel as a string
        Some(Number(4)) bad_channel_name: channel name is empty
        Some(Number(5)) bad_cursor: expected a cursor as the broker gave it: <epoch>-<offset>, or <channel>=<epoch>-<offset>,…
        Some(Number(6)) bad_command: `history`: expected a whole number, or true for all
        Some(Number(6)) bad_command: `token`: expected a token as a string
        Some(Number(7)) bad_command: `data` is missing: expected the value to publish
        Some(Number(8)) bad_event_name: event name has the forbidden character U+000A at byte 1
        Some(Number(9)) bad_idempotency_key: idempotency key has the forbidden character U+00E4 at byte 0
        Some(Number(10)) bad_command: message id has the forbidden character U+0020 at byte 0
        Some(Number(10)) bad_command: `limit`: expected a whole number
        Some(Number(11)) bad_command: `messages` is missing: expected an array of messages
        Some(Number(12)) bad_command: `messages`: expected an array of messages
        "#);
    }

    #[test]
    fn the_messages_of_a_batch_are_refused_each_for_itself() {
        let commands = decode_both(
            r#"{"type":"batch","messages":[1,{"channel":"a"},{"channel":"a","data":1},{"data":2}]}"#,
        );
        let Ok(Command {
            kind: CommandKind::Batch { messages },
            ..
        }) = &commands[0]
        else {
            panic!("{commands:?}");
        };
        let lines: Vec<_> = messages
            .iter()
            .map(|message| match message {
                Ok(publish) => format!("{publish:?}"),
                Err(error) => error.to_string(),
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        expected a message: an object with `channel` and `data`
        `data` is missing: expected the value to publish
        Publish { channel: "a", payload: Payload { kind: Json, bytes: b"1" }, event: None, idempotency_key: None, message_id: None }
        `channel` is missing: expected the name of a channel as a string
        "#);
    }

    #[test]
    fn one_bad_byte_refuses_the_whole() {
        let refused = |frames: &'static [u8]| {
            let error = decode_commands(Codec::Json, &Bytes::from_static(frames)).unwrap_err();
            format!("{}: {error}", error.code())
        };
        let lines = [
            refused(b""),
            refused(b"[{\"type\":\"ping\"}"),
            refused(b"{\"type\":\"ping\"} x"),
            refused(b"{\"type\":\"ping\xff\"}"),
            refused(b"{\"type\":\"ping\",\"x\":\"\\ud800\"}"),
            refused(b"{\"type\":\"ping\",\"x\":1e999}"),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        bad_json: not JSON: expected a value at byte 0
        bad_json: not JSON: expected `,` or `]` at byte 16
        bad_json: not JSON: expected the end at byte 16
        bad_utf8: text is not UTF-8 at byte 13
        bad_json: the escape at byte 20 is half of a surrogate pair: send such a string as {"$type":"Utf16String",…}
        bad_json: the number at byte 19 is too large for a 64-bit float
        "#);
    }

    #[test]
    fn there_is_a_limit_to_what_comes_at_once() {
        let frames = Bytes::from(format!("[{}0]", "0,".repeat(1024)));
        let error = decode_commands(Codec::Json, &frames).unwrap_err();
        assert_eq!(error.to_string(), "more than 1024 frames at once");
        assert_eq!(error.code().as_str(), "message_too_large");
    }

    #[test]
    fn bombs_are_refused_without_effort() {
        let brackets = Bytes::from("[".repeat(200_000));
        assert!(decode_commands(Codec::Json, &brackets).is_err());
        let data = Bytes::from(format!(
            r#"{{"type":"publish","data":{}"#,
            "[".repeat(200_000)
        ));
        let error = decode_commands(Codec::Json, &data).unwrap_err();
        assert_eq!(error.to_string(), "values are nested more than 128 deep");
        let nested = vec![0x91; 200_000];
        for bomb in [
            &b"\xdd\xff\xff\xff\xff"[..],
            b"\xdf\xff\xff\xff\xff",
            &nested,
        ] {
            let bomb = Bytes::copy_from_slice(bomb);
            assert!(decode_commands(Codec::MessagePack, &bomb).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            let _ = decode_commands(Codec::Json, &bytes);
            let _ = decode_commands(Codec::MessagePack, &bytes);
        }
    }
}
