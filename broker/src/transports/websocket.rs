//! WebSockets ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)): bare data of one channel, or frames.

use actix_web::http::Version;
use actix_web::http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use widecast_protocol::codec::{
    Codec, RefusedCommand, decode_commands, decode_page_text, shows_token,
};
use widecast_protocol::command::{Publish, Token};
use widecast_protocol::framing::Wire;
use widecast_protocol::framing::websocket::DecoderLimits;
use widecast_protocol::{ChannelName, Code, CommandKind, Payload};

use crate::config::LimitSettings;
use crate::http::{CURSOR_HEADER, ChannelPath, Problem, TOKEN_PROTOCOL};
use crate::session::{Dialect, Inbound, InboundDecoder, Transport};

use super::common::inbound_commands::{inbound_of, inbound_one};
use super::common::opened_session::{OpenedSession, open};
use super::common::stream_request::{MessageFormat, StreamRequest};
use super::common::streaming::hand_over;
use super::common::websocket_messages::{WebSocketMessage, WebSocketMessages};
use super::common::worker::worker;

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
    wanted: StreamRequest,
) -> Result<HttpResponse, Problem> {
    // A browser that offers subprotocols closes a connection that has chosen none of them; here none has a meaning.
    let chosen = first_or_token(&request);
    let mut head = handshake(&request, chosen.as_slice())?;
    let worker = worker(&request)?;
    let limits = &worker.services.config.limits;
    let dialect = Dialect::connected(page_wire(&wanted));
    if wanted.presence.is_some() && dialect.frames().is_none() {
        let detail = "presence= needs json or format=message: bare data has no room to say who comes and goes";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    // A batch is larger than the messages in it.
    let longest = if wanted.json {
        limits.request_bytes
    } else {
        limits.message_bytes
    };
    let session = open(&worker, wanted.identity, dialect, Transport::WebSocket).await?;
    let decoder = Box::new(PageDecoder {
        messages: WebSocketMessages::new(decoder_limits(limits, longest.as_usize())),
        channel: channel.clone(),
        is_json: wanted.json,
    });
    let (cursor, presence) = (wanted.cursor, wanted.presence);
    let channels = [channel];
    let joining = async {
        let opened = OpenedSession::join_as(session, &channels, cursor.as_ref(), presence).await?;
        // Bare data has no room for cursors: whoever can read headers may resume from here.
        head.insert_header((CURSOR_HEADER, opened.cursor()));
        Ok::<_, Problem>(opened.flow().await)
    };
    let session = worker.services.with_patience(joining).await?;
    hand_over(&request, head, session, decoder)
}

/// `GET /v1/ws`
pub(super) async fn envelope(
    request: HttpRequest,
    wanted: StreamRequest,
) -> Result<HttpResponse, Problem> {
    let mut names = PROTOCOLS.map(|(name, _)| name).to_vec();
    names.extend(first_or_token(&request).filter(|name| name.starts_with(TOKEN_PROTOCOL)));
    let head = handshake(&request, &names)?;
    let wire = chosen(&request);
    let worker = worker(&request)?;
    let dialect = Dialect::connected(wire);
    let session = open(&worker, wanted.identity, dialect, Transport::WebSocket).await?;
    let limits = &worker.services.config.limits;
    let decoder = Box::new(FrameDecoder {
        messages: WebSocketMessages::new(decoder_limits(limits, limits.request_bytes.as_usize())),
        codec: wire.codec(),
        commands_per_frame: limits.commands_per_frame,
    });
    session.welcome();
    session.join_named_channels(wanted.cursor.as_ref()).await;
    hand_over(&request, head, session, decoder)
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

/// The first subprotocol that the client offers. One that only carries a token is taken when there is no other: a browser wants one
/// of those that it has offered.
fn first_or_token(request: &HttpRequest) -> Option<&str> {
    let others = offered(request).find(|name| !name.starts_with(TOKEN_PROTOCOL));
    others.or_else(|| offered(request).next())
}

/// The first subprotocol of the client's that the broker knows, as the handshake has chosen it.
fn chosen(request: &HttpRequest) -> Wire {
    let known = |name: &str| PROTOCOLS.iter().find(|(known, _)| *known == name);
    let first = offered(request).find_map(known);
    first.map_or(Wire::JsonWebSocket, |(_, wire)| *wire)
}

fn page_wire(wanted: &StreamRequest) -> Wire {
    match (wanted.format, wanted.json) {
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

/// Turns the messages of a page into commands: each message is published, but for the few that are for the broker itself.
struct PageDecoder {
    messages: WebSocketMessages,
    channel: ChannelName,
    /// Whether a text is the JSON of a value, and not the value itself.
    is_json: bool,
}

impl InboundDecoder for PageDecoder {
    fn unfinished_bytes(&self) -> Option<usize> {
        self.messages.unfinished_bytes()
    }

    fn read(&mut self, bytes: &[u8]) -> Vec<Inbound> {
        let (channel, is_json) = (&self.channel, self.is_json);
        self.messages.read(bytes, |message, inbound| match message {
            WebSocketMessage::Text(text) if is_json => {
                let channel = channel.clone();
                Inbound::decode(inbound, text, move |text| {
                    let commands = decode_page_text(&channel, text).into_iter();
                    commands.map(inbound_one).collect()
                });
            }
            WebSocketMessage::Text(text) => inbound.push(plain_text(channel, text)),
            WebSocketMessage::Binary(bytes) => {
                inbound.push(publish(channel, Payload::binary(bytes)));
            }
        })
    }
}

/// A text is published as a string, whatever it looks like; but a text with a token in it must not be seen by anybody else.
fn plain_text(channel: &ChannelName, text: Bytes) -> Inbound {
    if shows_token(&text) {
        // Nobody is to know the text: the token in it is not even read.
        let token = Token::new("");
        let cursor = None;
        return Inbound::Command(CommandKind::Authenticate { token, cursor }.into());
    }
    match Payload::text_bytes(text) {
        Ok(payload) => publish(channel, payload),
        Err(error) => Inbound::Unreadable(RefusedCommand {
            id: None,
            error,
            is_message: true,
        }),
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
struct FrameDecoder {
    messages: WebSocketMessages,
    codec: Codec,
    commands_per_frame: usize,
}

impl InboundDecoder for FrameDecoder {
    fn unfinished_bytes(&self) -> Option<usize> {
        self.messages.unfinished_bytes()
    }

    fn read(&mut self, bytes: &[u8]) -> Vec<Inbound> {
        let (codec, most) = (self.codec, self.commands_per_frame);
        self.messages
            .read(bytes, |message, inbound| match (message, codec) {
                (WebSocketMessage::Text(frame), Codec::Json)
                | (WebSocketMessage::Binary(frame), Codec::MessagePack) => {
                    Inbound::decode(inbound, frame, move |frame| {
                        inbound_of(decode_commands(codec, frame), most)
                    });
                }
                (WebSocketMessage::Text(_), Codec::MessagePack) => {
                    inbound.push(wrong_kind(
                        "text message, and the subprotocol is MessagePack",
                    ));
                }
                (WebSocketMessage::Binary(_), Codec::Json) => {
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
