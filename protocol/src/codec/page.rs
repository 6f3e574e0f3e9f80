//! Reads a text that a page sends over `…/ws?json`: it is a value to publish, unless it is one of the few objects that are meant
//! for the server (`ping`, `authenticate`, `batch`).

use bytes::Bytes;

use super::command::{MESSAGES, MESSAGES_LIMIT, RefusedCommand, command_id, decode_commands};
use super::field::{Field, List};
use super::source::{JsonSource, Scalar, Shape, Source};
use super::{Codec, DecodeError};
use crate::command::{Command, CommandKind, Publish};
use crate::name::ChannelName;
use crate::payload::Payload;

/// What a page says to the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToServer {
    Authenticate,
    Ping,
    Batch,
}

impl ToServer {
    fn of(kind: &Scalar<'_>) -> Option<Self> {
        let Scalar::Text(kind) = kind else {
            return None;
        };
        match &**kind {
            "authenticate" => Some(Self::Authenticate),
            "ping" => Some(Self::Ping),
            "batch" => Some(Self::Batch),
            _ => None,
        }
    }
}

/// The error for an element of a batch that may not be published.
const NOT_FOR_OTHERS: DecodeError = DecodeError::Shape {
    expected: "values for others: a value of `type` authenticate or batch goes alone",
};

/// Why a `subscribe` with a token is not published, and where such a token goes.
const TOKEN_OF_SUBSCRIBE: DecodeError = DecodeError::Shape {
    expected: "values for others: a `subscribe` with a token goes to /v1/ws; here the token goes into the URL or into `authenticate`",
};

/// Makes a text that is JSON the commands that it stands for: the value it is, published on `channel`; a `ping`, an
/// `authenticate`, or a `batch` of values.
pub fn decode_page_text(
    channel: &ChannelName,
    text: &Bytes,
) -> Vec<Result<Command, RefusedCommand>> {
    let to_server = to_server(text);
    // What is not for the server is for others.
    let is_message = !matches!(to_server, Ok(Some(_)));
    let refused = |error| {
        vec![Err(RefusedCommand {
            id: None,
            error,
            is_message,
        })]
    };
    let decoded = match to_server {
        Ok(Some(ToServer::Authenticate | ToServer::Ping)) => decode_commands(Codec::Json, text)
            .map(|commands| commands.into_iter().map(only_to_server).collect()),
        Ok(Some(ToServer::Batch)) => batch(channel, text),
        Ok(None) => match shown_secret(text) {
            Some(Secret::Authentication) => Err(NOT_FOR_OTHERS),
            Some(Secret::SubscriptionToken) => Err(TOKEN_OF_SUBSCRIBE),
            None => Payload::from_json(text.clone())
                .map(|value| vec![Ok(CommandKind::Publish(publish(channel, value)).into())]),
        },
        Err(error) => Err(error),
    };
    decoded.unwrap_or_else(refused)
}

/// A page's WebSocket has no other frames, whatever a repeated `type` says.
fn only_to_server(command: Result<Command, RefusedCommand>) -> Result<Command, RefusedCommand> {
    let Command { id, kind } = command?;
    match kind {
        CommandKind::Authenticate { .. } | CommandKind::Ping => Ok(Command { id, kind }),
        _ => Err(RefusedCommand {
            id,
            error: NOT_FOR_OTHERS,
            is_message: false,
        }),
    }
}

/// Whether a text is an authentication or a `subscribe` with a token, or has one among the elements of an array or of `messages`: nobody
/// else is to see the token in it. A text that is cut or followed by something else is one, too.
pub fn shows_token(text: &Bytes) -> bool {
    shown_secret(text).is_some()
}

/// By which command a text shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Secret {
    SubscriptionToken,
    Authentication,
}

/// The command by which a text shows a token, if it does; an authentication, if it has both.
fn shown_secret(text: &Bytes) -> Option<Secret> {
    let mut found = None;
    let read = JsonSource::new(text).and_then(|mut source| look(&mut source, true, &mut found));
    if read.is_err() && found.is_none() {
        // It may have been meant as JSON all the same.
        return secret_of_unreadable(text);
    }
    found
}

/// The command by which a text that cannot be read as JSON seems to show a token: it begins as an object or an array does, and has the
/// words.
fn secret_of_unreadable(text: &[u8]) -> Option<Secret> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let begun = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let begun = begun.trim_ascii_start();
    let has = |word: &str| begun.windows(word.len()).any(|it| it == word.as_bytes());
    if !matches!(begun.first(), Some(b'{' | b'[')) || !has("\"token\"") {
        return None;
    }
    if has("\"authenticate\"") {
        return Some(Secret::Authentication);
    }
    has("\"subscribe\"").then_some(Secret::SubscriptionToken)
}

fn look(
    source: &mut JsonSource<'_>,
    is_outer: bool,
    found: &mut Option<Secret>,
) -> Result<(), DecodeError> {
    match source.shape() {
        Shape::Object => {
            let (mut subscribes, mut has_token) = (false, false);
            source.object(|source, key| {
                has_token |= key == "token";
                if key == "type" {
                    let kind = source.scalar()?;
                    subscribes |= kind == Scalar::Text("subscribe".into());
                    if kind == Scalar::Text("authenticate".into()) {
                        *found = Some(Secret::Authentication);
                    }
                }
                // Before the value of the token is read, which may be cut.
                if subscribes && has_token {
                    *found = (*found).max(Some(Secret::SubscriptionToken));
                }
                match key {
                    "type" => Ok(()),
                    "messages" if is_outer && source.shape() == Shape::Array => {
                        source.array(|source| look(source, false, found))
                    }
                    _ => source.scalar().map(|_| ()),
                }
            })
        }
        Shape::Array if is_outer => source.array(|source| look(source, false, found)),
        Shape::Array | Shape::Scalar => source.scalar().map(|_| ()),
    }
}

/// What an object is for, if it is for the server. Of a repeated `type` the last counts, unless one is an authentication.
fn to_server(text: &Bytes) -> Result<Option<ToServer>, DecodeError> {
    let mut source = JsonSource::new(text)?;
    if source.shape() != Shape::Object {
        return Ok(None);
    }
    let mut found = None;
    source.object(|source, key| {
        let value = source.scalar()?;
        if key == "type" && found != Some(ToServer::Authenticate) {
            found = ToServer::of(&value);
        }
        Ok(())
    })?;
    source.end()?;
    Ok(found)
}

/// Reads `{"type":"batch","messages":[…]}`, where each message is a value. The pings among them are answered.
fn batch(
    channel: &ChannelName,
    text: &Bytes,
) -> Result<Vec<Result<Command, RefusedCommand>>, DecodeError> {
    let mut source = JsonSource::new(text)?;
    let mut id = Field::default();
    let mut values = List::Absent;
    source.object(|source, key| match key {
        "id" => id.read(source),
        "messages" => values.read(source, MESSAGES_LIMIT, Source::payload),
        _ => source.scalar().map(|_| ()),
    })?;
    source.end()?;
    let id = command_id(id)?;
    let (mut messages, mut commands) = (Vec::new(), Vec::new());
    for value in values.items("messages", MESSAGES)? {
        let text = value.to_json();
        match to_server(&text)? {
            None if shows_token(&text) => messages.push(Err(TOKEN_OF_SUBSCRIBE)),
            None => messages.push(Ok(publish(channel, value))),
            Some(ToServer::Ping) => commands.push(Ok(CommandKind::Ping.into())),
            Some(ToServer::Authenticate | ToServer::Batch) => messages.push(Err(NOT_FOR_OTHERS)),
        }
    }
    let kind = CommandKind::Batch { messages };
    commands.insert(0, Ok(Command { id, kind }));
    Ok(commands)
}

fn publish(channel: &ChannelName, payload: Payload) -> Publish {
    Publish {
        channel: channel.clone(),
        payload,
        event: None,
        idempotency_key: None,
        message_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &'static str) -> String {
        let channel = ChannelName::parse("a").unwrap();
        let line = |command: &Result<Command, RefusedCommand>| match command {
            Ok(Command {
                id,
                kind: CommandKind::Publish(message),
            }) => format!("{id:?} Publish {:?}", message.payload.to_json()),
            Ok(command) => format!("{:?} {:?}", command.id, command.kind),
            Err(RefusedCommand { id, error, .. }) => format!("{id:?} {}: {error}", error.code()),
        };
        let commands = decode_page_text(&channel, &Bytes::from_static(text.as_bytes()));
        commands.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_text_is_the_value_that_it_is() {
        insta::assert_snapshot!(shown(r#"{"type":"chat","text":"hi"}"#), @r#"None Publish b"{\"type\":\"chat\",\"text\":\"hi\"}""#);
        insta::assert_snapshot!(shown(r#" "text" "#), @r#"None Publish b"\"text\"""#);
        insta::assert_snapshot!(shown("[1, 2]"), @r#"None Publish b"[1, 2]""#);
        insta::assert_snapshot!(shown("null"), @r#"None Publish b"null""#);
        insta::assert_snapshot!(shown(r#"{"data":{"type":"ping"},"type":1}"#), @r#"None Publish b"{\"data\":{\"type\":\"ping\"},\"type\":1}""#);
        insta::assert_snapshot!(shown(r#"["ping",{"type":"ping"}]"#), @r#"None Publish b"[\"ping\",{\"type\":\"ping\"}]""#);
    }

    #[test]
    fn objects_that_are_for_the_broker_are_published_to_nobody() {
        insta::assert_snapshot!(shown(r#"{"type":"ping"}"#), @"None Ping");
        insta::assert_snapshot!(shown(r#"{"at":5,"id":"x","type":"ping"}"#), @r#"Some(Text("x")) Ping"#);
        insta::assert_snapshot!(shown(r#"{"type":"authenticate","token":"secret"}"#), @"None Authenticate { token: Token(…), cursor: None }");
        insta::assert_snapshot!(shown(r#"{"type":"authenticate","type":"chat","token":"secret"}"#), @r#"None bad_command: unknown `type` "chat": expected one of authenticate, subscribe, unsubscribe, publish, presence, history, batch, ping"#);
        insta::assert_snapshot!(shown(r#"{"type":"authenticate","type":"subscribe","channel":"b"}"#), @"None bad_command: expected values for others: a value of `type` authenticate or batch goes alone");
        insta::assert_snapshot!(shown(r#"{"type":"subscribe","channel":"b","token":"secret"}"#), @"None bad_command: expected values for others: a `subscribe` with a token goes to /v1/ws; here the token goes into the URL or into `authenticate`");
        insta::assert_snapshot!(shown(r#"{"type":"subscribe","channel":"b"}"#), @r#"None Publish b"{\"type\":\"subscribe\",\"channel\":\"b\"}""#);
        insta::assert_snapshot!(shown(r#"[{"type":"authenticate","token":"secret"}]"#), @"None bad_command: expected values for others: a value of `type` authenticate or batch goes alone");
    }

    #[test]
    fn each_value_of_a_batch_is_published() {
        insta::assert_snapshot!(shown(r#"{"type":"batch","id":7,"messages":[{"n":1},"two"]}"#), @r#"Some(Number(7)) Batch { messages: [Ok(Publish { channel: "a", payload: Payload { kind: Json, bytes: b"{\"n\":1}" }, event: None, idempotency_key: None, message_id: None }), Ok(Publish { channel: "a", payload: Payload { kind: Text, bytes: b"two" }, event: None, idempotency_key: None, message_id: None })] }"#);
        insta::assert_snapshot!(shown(r#"{"type":"batch","messages":[{"type":"ping"},{"type":"authenticate","token":"secret"},{"type":"batch"},{"type":"subscribe","token":"secret"}]}"#), @r#"
        None Batch { messages: [Err(Shape { expected: "values for others: a value of `type` authenticate or batch goes alone" }), Err(Shape { expected: "values for others: a value of `type` authenticate or batch goes alone" }), Err(Shape { expected: "values for others: a `subscribe` with a token goes to /v1/ws; here the token goes into the URL or into `authenticate`" })] }
        None Ping
        "#);
        insta::assert_snapshot!(shown(r#"{"type":"batch"}"#), @"None bad_command: `messages` is missing: expected an array of messages");
        insta::assert_snapshot!(shown(r#"{"type":"batch","messages":{}}"#), @"None bad_command: `messages`: expected an array of messages");
    }

    #[test]
    fn a_text_that_is_no_json_is_refused() {
        insta::assert_snapshot!(shown("hello"), @"None bad_json: not JSON: expected a value at byte 0");
        insta::assert_snapshot!(shown(""), @"None bad_json: not JSON: expected a value at byte 0");
        insta::assert_snapshot!(shown(r#"{"type":"ping"} {}"#), @"None bad_json: not JSON: expected the end at byte 16");
    }

    #[test]
    fn a_token_is_found_however_it_is_shown() {
        let found = |text: &'static str| shows_token(&Bytes::from_static(text.as_bytes()));
        for text in [
            r#"{"type":"authenticate","token":"x"}"#,
            r#" { "token" : "x", "\u0074ype" : "\u0061uthenticate" }"#,
            r#"{"token":{"a":[1]},"type":"authenticate","type":"chat"}"#,
            r#"{"type":"authenticate","token":"x"} and more"#,
            r#"{"type":"authenticate","token":"x"#,
            r#"[{"type":"authenticate"}]"#,
            r#"{"type":"batch","messages":[1,{"type":"authenticate"}]}"#,
            r#"{"type":"subscribe","channel":"a","token":"x"}"#,
            r#"{"token":"x","type":"subscribe"}"#,
            r#"{"type":"subscribe","token":"x"#,
            r#"[{"token":"x","type":"subscribe","type":"chat"}]"#,
            r#"{"type":"batch","messages":[{"type":"subscribe","token":"x"}]}"#,
            r#"{"a":"\ud800","type":"authenticate","token":"x"}"#,
            r#"{"a":1e999,"token":"x","type":"authenticate"}"#,
            r#"[{"a":1e999,"token":"x","type":"subscribe"}]"#,
            "\u{feff} {\"type\":\"authenticate\",\"token\":\"x\"}",
        ] {
            assert!(found(text), "{text}");
        }
        for text in [
            "",
            "authenticate",
            r#""authenticate""#,
            r#"{"type":"chat","text":"{\"type\":\"authenticate\"}"}"#,
            r#"{"data":{"type":"authenticate"}}"#,
            r#"{"authenticate":"type"}"#,
            r#"{"type":["authenticate"]}"#,
            r#"{"type":"subscribe","channel":"a"}"#,
            r#"{"type":"chat","token":"x"}"#,
            r#"{"type":"subscribe","data":{"token":"x"}}"#,
            r#"to "authenticate" send a "token""#,
            r#"{"type":"chat","text":"\ud800 \"authenticate\" \"token\""}"#,
            r#"{"a":1e999,"type":"chat","token":"x"}"#,
        ] {
            assert!(!found(text), "{text}");
        }
    }
}
