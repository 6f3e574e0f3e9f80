//! Listens to an envelope WebSocket: subscribes to every channel with its cursor, and keeps a cursor for each.

use std::fmt::Display;
use std::ops::ControlFlow;
use std::time::Duration;

use actix_rt::time::timeout;
use awc::error::WsClientError;
use awc::ws::{Frame, Message};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use widecast_protocol::{ChannelName, Position};

use super::end::{End, Listened};
use super::http::{CONNECT_TIMEOUT, LONGEST_SILENCE, refused};
use super::message::HeardMessage;
use super::reader::Reader;
use crate::cli::error::{CliError, chain};

/// The subprotocol: envelope frames as JSON.
const SUBPROTOCOL: &str = "widecast.v1.json";
/// The largest frame that is taken: more than the largest message a broker can be set to.
const MAX_FRAME_BYTES: usize = 1 << 30;
/// How many commands are sent together: fewer than any broker allows by default.
const COMMANDS_PER_FRAME: usize = 100;

/// Listens until the connection ends.
pub(super) async fn listen(reader: &mut Reader<'_>) -> Listened {
    let request = reader
        .client
        .ws(reader.broker.join_websocket("/v1/ws"))
        .max_frame_size(MAX_FRAME_BYTES)
        .protocols([SUBPROTOCOL]);
    match timeout(CONNECT_TIMEOUT, request.connect()).await {
        Err(_) => Ok(End::cut("no answer")),
        Ok(Err(WsClientError::InvalidResponseStatus(status))) => refused(status.as_u16(), b""),
        Ok(Err(error)) => Ok(End::cut(chain(&error))),
        Ok(Ok((_, socket))) => converse(reader, socket).await,
    }
}

/// Answers what the broker sends until the connection ends.
async fn converse<S, E, F>(reader: &mut Reader<'_>, mut socket: S) -> Listened
where
    S: Stream<Item = Result<Frame, E>> + Sink<Message, Error = F> + Unpin,
    E: Display,
    F: Display,
{
    let mut silence = LONGEST_SILENCE;
    loop {
        let answers = match timeout(silence, socket.next()).await {
            Err(_) => return Ok(End::cut("no heartbeat")),
            Ok(None) => return Ok(End::cut("the connection ended")),
            Ok(Some(Err(error))) => return Ok(End::cut(error.to_string())),
            Ok(Some(Ok(Frame::Text(text)))) => match take_all(reader, &text)? {
                ControlFlow::Continue(answers) => answers,
                ControlFlow::Break(end) => {
                    // The connection is left either way.
                    let _ = socket.send(Message::Close(None)).await;
                    return Ok(end);
                }
            },
            Ok(Some(Ok(Frame::Ping(data)))) => vec![Message::Pong(data)],
            Ok(Some(Ok(Frame::Close(_)))) => return Ok(End::cut("the broker closed it")),
            Ok(Some(Ok(Frame::Pong(_)))) => Vec::new(),
            Ok(Some(Ok(Frame::Binary(_) | Frame::Continuation(_)))) => {
                return Ok(End::cut("the broker sent what is no frame of JSON"));
            }
        };
        for answer in answers {
            if let Err(error) = socket.send(answer).await {
                return Ok(End::cut(error.to_string()));
            }
        }
        silence = LONGEST_SILENCE.max(reader.heartbeat.saturating_mul(3));
    }
}

/// The fields of the frames that matter here.
#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: String,
    channel: Option<String>,
    cursor: Option<String>,
    recovered: Option<bool>,
    heartbeat_ms: Option<u64>,
    code: Option<String>,
    message: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    retryable: bool,
    reconnect_after_ms: Option<u64>,
}

/// Takes the frames of one WebSocket message: one, or an array. Gives what is to be sent, or how listening ends.
fn take_all(
    reader: &mut Reader<'_>,
    text: &[u8],
) -> Result<ControlFlow<End, Vec<Message>>, CliError> {
    let frames = match text.first() {
        Some(b'[') => serde_json::from_slice::<Vec<&RawValue>>(text),
        _ => serde_json::from_slice::<&RawValue>(text).map(|frame| vec![frame]),
    };
    let mut answers = Vec::new();
    for frame in frames.unwrap_or_default() {
        match take(reader, frame.get())? {
            ControlFlow::Continue(more) => answers.extend(more),
            ControlFlow::Break(end) => return Ok(ControlFlow::Break(end)),
        }
    }
    Ok(ControlFlow::Continue(answers))
}

fn take(reader: &mut Reader<'_>, frame: &str) -> Result<ControlFlow<End, Vec<Message>>, CliError> {
    let nothing = Ok(ControlFlow::Continue(Vec::new()));
    let Ok(fields) = serde_json::from_str::<Fields>(frame) else {
        return Ok(ControlFlow::Break(End::cut(
            "the broker sent what is no frame",
        )));
    };
    match fields.kind.as_str() {
        "welcome" => {
            reader.heartbeat = Duration::from_millis(fields.heartbeat_ms.unwrap_or_default());
            Ok(ControlFlow::Continue(subscriptions(reader)))
        }
        "message" => message(reader, frame),
        "subscribed" => {
            reader.connected();
            joined(reader, &fields);
            nothing
        }
        "gap" => {
            joined(reader, &fields);
            nothing
        }
        "goodbye" => goodbye(fields).map(ControlFlow::Break),
        "error" | "unsubscribed" | "auth_required" => failed(fields).map(ControlFlow::Break),
        _ => nothing,
    }
}

/// The commands that join every channel, at its place.
fn subscriptions(reader: &Reader<'_>) -> Vec<Message> {
    let commands = reader.channels.iter().enumerate().map(|(index, channel)| {
        let mut command = json!({"type": "subscribe", "id": index, "channel": channel.as_str()});
        if let Some(position) = reader.position(channel) {
            command["cursor"] = json!(position.to_string());
        }
        command
    });
    let commands: Vec<_> = commands.collect();
    let frames = commands.chunks(COMMANDS_PER_FRAME);
    frames
        .map(|commands| Message::Text(json!(commands).to_string().into()))
        .collect()
}

fn message(
    reader: &mut Reader<'_>,
    frame: &str,
) -> Result<ControlFlow<End, Vec<Message>>, CliError> {
    let Ok(mut message) = serde_json::from_str::<HeardMessage>(frame) else {
        return Ok(ControlFlow::Break(End::cut(
            "the broker sent a message without data",
        )));
    };
    if let (Some(epoch), Some(offset)) = (&message.epoch, message.offset) {
        message.cursor = Some(format!("{epoch}-{offset}"));
    }
    let flow = reader.hear(&message)?;
    if let (Some(channel), Some(cursor)) = (&message.channel, &message.cursor) {
        move_in(reader, channel, cursor);
    }
    Ok(match flow {
        ControlFlow::Continue(()) => ControlFlow::Continue(Vec::new()),
        ControlFlow::Break(end) => ControlFlow::Break(end),
    })
}

/// Takes over where the broker says a channel is heard from. A channel that was resumed without loss stays where it is,
/// because its past messages are still to come.
fn joined(reader: &mut Reader<'_>, fields: &Fields) {
    let (Some(channel), Some(cursor)) = (&fields.channel, &fields.cursor) else {
        return;
    };
    let lost = fields.recovered == Some(false);
    if lost {
        reader.tell_gap(Some(channel), cursor);
    }
    let known = ChannelName::parse(channel)
        .ok()
        .and_then(|name| reader.position(&name));
    if lost || known.is_none() {
        move_in(reader, channel, cursor);
    }
}

fn move_in(reader: &mut Reader<'_>, channel: &str, cursor: &str) {
    if let (Ok(channel), Ok(position)) = (ChannelName::parse(channel), Position::parse(cursor)) {
        reader.move_in(&channel, position);
    }
}

/// The broker closes the session: come again, if it says when.
fn goodbye(fields: Fields) -> Listened {
    let reason = fields.reason.unwrap_or_else(|| "goodbye".to_owned());
    match fields.reconnect_after_ms {
        Some(after_ms) => Ok(End::Cut {
            reason,
            again_after: Some(Duration::from_millis(after_ms)),
        }),
        None => Err(CliError::Refused(reason)),
    }
}

/// The broker will not let a channel be listened to, or not now.
fn failed(fields: Fields) -> Listened {
    let said = fields.message.or(fields.reason).unwrap_or(fields.kind);
    let reason = match fields.code {
        Some(code) => format!("{said} ({code})"),
        None => said,
    };
    if fields.retryable {
        Ok(End::cut(reason))
    } else {
        Err(CliError::Refused(reason))
    }
}
