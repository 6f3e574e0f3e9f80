//! WebSockets ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)): bare data of one channel, or frames.

use actix_web::http::Version;
use actix_web::http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use widecast_protocol::codec::{Codec, authenticates, decode_commands, decode_page_text};
use widecast_protocol::command::{Publish, Token};
use widecast_protocol::framing::Wire;
use widecast_protocol::framing::websocket::DecoderLimits;
use widecast_protocol::{ChannelName, Code, CommandKind, Payload};

use crate::config::LimitSettings;
use crate::http::{CURSOR_HEADER, ChannelPath, Problem};
use crate::metrics::Transport;
use crate::session::{Dialect, Inbound, Reader};

use super::commands::{inbound_of, inbound_one};
use super::messages::{Message, Messages};
use super::opening::{Opening, open};
use super::query::{MessageFormat, Subscription, worker};
use super::streaming::hand_over;

/// The one version of WebSockets.
const VERSION: &str = "13";

/// The subprotocols of frames; of several offered ones the client's first is taken.
const PROTOCOLS: [(&str, Wire); 2] = [
    ("widecast.v1.msgpack", Wire::MessagePackWebSocket),
    ("widecast.v1.json", Wire::JsonWebSocket),
];

/// `GET /channels/{channel}/ws`
pub(super) async fn raw(
    request: HttpRequest,
    ChannelPath(channel): ChannelPath,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    // A browser that offers subprotocols closes a connection that has chosen none of them; here none has a meaning.
    let offered: Vec<_> = offered(&request).take(1).collect();
    let mut head = handshake(&request, &offered)?;
    let worker = worker(&request)?;
    let limits = &worker.services.config.limits;
    let dialect = Dialect::connected(page_wire(&subscription));
    if subscription.presence.is_some() && dialect.frames().is_none() {
        let detail = "presence= needs json or format=message: bare data has no room to say who comes and goes";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    // A batch is larger than the messages in it.
    let longest = if subscription.json {
        limits.request_bytes
    } else {
        limits.message_bytes
    };
    let session = open(
        &worker,
        subscription.identity,
        dialect,
        Transport::WebSocket,
    )?;
    let reader = Box::new(PageReader {
        messages: Messages::new(decoder_limits(limits, longest.as_usize())),
        channel: channel.clone(),
        is_json: subscription.json,
    });
    let (cursor, presence) = (subscription.cursor, subscription.presence);
    let opening = Opening::join_as(session, &[channel], cursor.as_ref(), presence).await?;
    // Bare data has no room for cursors: whoever can read headers may resume from here.
    head.insert_header((CURSOR_HEADER, opening.cursor()));
    let session = opening.flow().await;
    hand_over(&request, head, session, reader)
}

/// `GET /v1/ws`
pub(super) async fn envelope(
    request: HttpRequest,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    let names = PROTOCOLS.map(|(name, _)| name);
    let head = handshake(&request, &names)?;
    let wire = chosen(&request);
    let worker = worker(&request)?;
    let dialect = Dialect::connected(wire);
    let session = open(
        &worker,
        subscription.identity,
        dialect,
        Transport::WebSocket,
    )?;
    let limits = &worker.services.config.limits;
    let reader = Box::new(FrameReader {
        messages: Messages::new(decoder_limits(limits, limits.request_bytes.as_usize())),
        codec: wire.codec(),
        commands_per_frame: limits.commands_per_frame,
    });
    session.welcome();
    hand_over(&request, head, session, reader)
}

/// Checks a handshake, and begins the answer to it
/// ([RFC 6455, section 4.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2)).
fn handshake(request: &HttpRequest, protocols: &[&str]) -> Result<HttpResponseBuilder, Problem> {
    if request.version() != Version::HTTP_11 {
        return Err(no_handshake(
            "a WebSocket begins with a request of HTTP/1.1",
        ));
    }
    let version = request.headers().get(SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version != VERSION) {
        return Err(Problem::upgrade_required("websocket", VERSION));
    }
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    if !key.is_none_or(|key| is_key(key.as_bytes())) {
        return Err(no_handshake("Sec-WebSocket-Key is no base64 of 16 bytes"));
    }
    actix_web_actors::ws::handshake_with_protocols(request, protocols).map_err(no_handshake)
}

fn no_handshake(reason: impl std::fmt::Display) -> Problem {
    let detail = format!("not a WebSocket handshake: {reason}");
    Problem::new(Code::InvalidRequest, detail)
}

fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; 18];
    matches!(BASE64_STANDARD.decode_slice(key, &mut bytes), Ok(16))
}

/// The subprotocols that the client offers, the one it likes most first.
fn offered(request: &HttpRequest) -> impl Iterator<Item = &str> {
    let header = request.headers().get("sec-websocket-protocol");
    let header = header.and_then(|header| header.to_str().ok());
    let names = header.unwrap_or_default().split(',').map(str::trim);
    names.filter(|name| !name.is_empty())
}

/// The first subprotocol of the client's that the broker knows, as the handshake has chosen it.
fn chosen(request: &HttpRequest) -> Wire {
    let known = |name: &str| PROTOCOLS.iter().find(|(known, _)| *known == name);
    let first = offered(request).find_map(known);
    first.map_or(Wire::JsonWebSocket, |(_, wire)| *wire)
}

fn page_wire(subscription: &Subscription) -> Wire {
    match (subscription.format, subscription.json) {
        (MessageFormat::Message, _) => Wire::ObjectWebSocket,
        (MessageFormat::Data, true) => Wire::ValueWebSocket,
        (MessageFormat::Data, false) => Wire::RawWebSocket,
    }
}

fn decoder_limits(limits: &LimitSettings, message_bytes: usize) -> DecoderLimits {
    DecoderLimits {
        message_bytes,
        fragments: limits.fragments_per_message,
    }
}

/// Makes what a page sends commands: each message is published, but for the few that are for the broker itself.
struct PageReader {
    messages: Messages,
    channel: ChannelName,
    /// Whether a text is the JSON of a value, and not the value itself.
    is_json: bool,
}

impl Reader for PageReader {
    fn unfinished_bytes(&self) -> Option<usize> {
        self.messages.unfinished_bytes()
    }

    fn read(&mut self, bytes: &[u8]) -> Vec<Inbound> {
        let (channel, is_json) = (&self.channel, self.is_json);
        self.messages.read(bytes, |message, inbound| match message {
            Message::Text(text) if is_json => {
                inbound.extend(
                    decode_page_text(channel, &text)
                        .into_iter()
                        .map(inbound_one),
                );
            }
            Message::Text(text) => inbound.push(plain_text(channel, text)),
            Message::Binary(bytes) => inbound.push(publish(channel, Payload::binary(bytes))),
        })
    }
}

/// A text is a string, whatever it looks like; but nobody else may see what proves who somebody is.
fn plain_text(channel: &ChannelName, text: Bytes) -> Inbound {
    if authenticates(&text) {
        // Nobody is to know the text: the token in it is not even read.
        let token = Token::new("");
        return Inbound::Command(CommandKind::Authenticate { token }.into());
    }
    match Payload::text_bytes(text) {
        Ok(payload) => publish(channel, payload),
        Err(error) => Inbound::Unreadable(None, error),
    }
}

fn publish(channel: &ChannelName, payload: Payload) -> Inbound {
    let message = Publish {
        channel: channel.clone(),
        payload,
        event: None,
        idempotency_key: None,
        message_id: None,
    };
    Inbound::Command(CommandKind::Publish(message).into())
}

/// Reads commands.
struct FrameReader {
    messages: Messages,
    codec: Codec,
    commands_per_frame: usize,
}

impl Reader for FrameReader {
    fn unfinished_bytes(&self) -> Option<usize> {
        self.messages.unfinished_bytes()
    }

    fn read(&mut self, bytes: &[u8]) -> Vec<Inbound> {
        let (codec, most) = (self.codec, self.commands_per_frame);
        self.messages
            .read(bytes, |message, inbound| match (message, codec) {
                (Message::Text(frame), Codec::Json)
                | (Message::Binary(frame), Codec::MessagePack) => {
                    inbound.extend(inbound_of(decode_commands(codec, &frame), most));
                }
                (Message::Text(_), Codec::MessagePack) => {
                    inbound.push(wrong_kind(
                        "text message, and the subprotocol is MessagePack",
                    ));
                }
                (Message::Binary(_), Codec::Json) => {
                    inbound.push(wrong_kind("binary message, and the subprotocol is JSON"));
                }
            })
    }
}

fn wrong_kind(what: &str) -> Inbound {
    Inbound::Fail {
        code: Code::UnsupportedMediaType,
        detail: format!("a {what}"),
    }
}
