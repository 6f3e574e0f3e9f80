//! What a session speaks: which bytes it is sent for what. The transports choose one; everything else of a session is the
//! same for all.

use bytes::Bytes;
use widecast_protocol::framing::{Wire, ndjson, sse, websocket};
use widecast_protocol::{ChannelName, Code, Position, Reply, WireForm};

use crate::registry::{Cursors, GapForm, Voice};

/// The form of a session's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Bare data in WebSocket messages.
    RawWebSocket,
    /// Values as JSON in WebSocket messages, and frames beside them for what is no message.
    ValueWebSocket,
    /// Events for `EventSource`.
    RawSse(Span),
    /// Message objects, one a line.
    RawNdjson(Span),
    /// Message objects, collected until a poll takes them.
    RawPoll(Span),
    /// Frames.
    Envelope(Wire),
    /// Frames, collected until a poll takes them.
    EnvelopePoll(Wire),
    /// Frames in JSON, collected until a poll takes them as a script (JSONP). Who loads scripts is not known.
    EnvelopeScript,
}

/// Which cursor the messages of a raw session carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// That of the one channel the session was opened for.
    One,
    /// One that covers several channels.
    Several,
}

/// Why a session ends, and when the client may come back.
#[derive(Debug, Clone)]
pub struct Farewell {
    /// Why.
    pub code: Code,
    /// Why, for people.
    pub reason: String,
    /// When to connect again, in milliseconds; `None`: not at all.
    pub reconnect_after_ms: Option<u64>,
}

impl Dialect {
    /// The form of messages.
    pub fn message_form(self) -> WireForm {
        match self {
            Self::RawWebSocket => WireForm::RawWebSocket,
            Self::ValueWebSocket => WireForm::ValueWebSocket,
            Self::RawSse(_) => WireForm::RawSse,
            Self::RawNdjson(_) | Self::RawPoll(_) => WireForm::RawNdjson,
            Self::Envelope(wire) | Self::EnvelopePoll(wire) => wire.message_form(),
            Self::EnvelopeScript => SCRIPT_WIRE.message_form(),
        }
    }

    /// The frames, if the session has any.
    pub fn wire(self) -> Option<Wire> {
        match self {
            Self::Envelope(wire) | Self::EnvelopePoll(wire) => Some(wire),
            Self::EnvelopeScript => Some(SCRIPT_WIRE),
            Self::ValueWebSocket => Some(Wire::JsonWebSocket),
            Self::RawWebSocket | Self::RawSse(_) | Self::RawNdjson(_) | Self::RawPoll(_) => None,
        }
    }

    /// Which cursor its messages carry.
    pub fn span(self) -> Span {
        match self {
            Self::RawSse(span) | Self::RawNdjson(span) | Self::RawPoll(span) => span,
            Self::RawWebSocket
            | Self::ValueWebSocket
            | Self::Envelope(_)
            | Self::EnvelopePoll(_)
            | Self::EnvelopeScript => Span::One,
        }
    }

    /// Whether the session is a sequence of polls, without a connection of its own.
    pub fn is_polled(self) -> bool {
        matches!(
            self,
            Self::RawPoll(_) | Self::EnvelopePoll(_) | Self::EnvelopeScript
        )
    }

    /// Whether it is the WebSocket of a page that speaks no frames of the broker's.
    pub fn is_page_websocket(self) -> bool {
        matches!(self, Self::RawWebSocket | Self::ValueWebSocket)
    }

    /// Whether the session can send, and so has to be told apart from those who hear it.
    pub fn sends(self) -> bool {
        self == Self::RawWebSocket || self.wire().is_some()
    }

    /// Whether the session is carried by a WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(
            self,
            Self::RawWebSocket
                | Self::ValueWebSocket
                | Self::Envelope(Wire::JsonWebSocket | Wire::MessagePackWebSocket)
        )
    }

    /// What the session's outbox says besides what is pushed into it.
    pub fn voice(self) -> Voice {
        Voice {
            gap: self.gap_form(),
            cursors: self.cursors(),
        }
    }

    /// Whether the client is told of lost messages by something that its cursor may not be ahead of. The answer of a poll
    /// tells of them and gives the cursor in one.
    pub fn tells_gaps(self) -> bool {
        !matches!(self, Self::RawPoll(_))
    }

    fn cursors(self) -> Cursors {
        match self.span() {
            Span::Several => Cursors::OfAll(self.message_form().before_cursor()),
            Span::One if matches!(self, Self::RawPoll(_)) => Cursors::OfAnswers,
            Span::One => Cursors::OfEach,
        }
    }

    fn gap_form(self) -> GapForm {
        match self {
            Self::RawWebSocket => GapForm::Ends(|| {
                let code = Code::HistoryLost;
                websocket::close(code.close_code(), code.meaning())
            }),
            Self::RawPoll(_) => GapForm::Closes,
            Self::RawSse(Span::One) => {
                GapForm::Told(|channel, cursor, _| sse::gap(channel, cursor))
            }
            Self::RawSse(Span::Several) => {
                GapForm::Told(|channel, _, cursor| sse::gap(channel, cursor))
            }
            Self::RawNdjson(Span::One) => {
                GapForm::Told(|channel, cursor, _| ndjson::gap(channel, cursor))
            }
            Self::RawNdjson(Span::Several) => {
                GapForm::Told(|channel, _, cursor| ndjson::gap(channel, cursor))
            }
            Self::ValueWebSocket => gap_frame(Wire::JsonWebSocket),
            Self::Envelope(wire) | Self::EnvelopePoll(wire) => gap_frame(wire),
            Self::EnvelopeScript => gap_frame(SCRIPT_WIRE),
        }
    }

    /// A sign of life from the broker.
    pub fn heartbeat(self) -> Option<Bytes> {
        let wire = match self {
            Self::RawWebSocket | Self::ValueWebSocket => Wire::JsonWebSocket,
            Self::RawSse(_) => Wire::JsonSse,
            Self::RawNdjson(_) => Wire::JsonNdjson,
            Self::Envelope(wire) => wire,
            Self::RawPoll(_) | Self::EnvelopePoll(_) | Self::EnvelopeScript => return None,
        };
        Some(wire.heartbeat())
    }

    /// The last bytes of a session.
    pub fn farewell(self, farewell: &Farewell) -> Bytes {
        let mut last = self.wire().map_or_else(Bytes::new, |wire| {
            wire.encode(&Reply::Goodbye {
                code: farewell.code,
                reason: farewell.reason.clone(),
                reconnect_after_ms: farewell.reconnect_after_ms,
            })
        });
        if self.is_websocket() {
            let close = websocket::close(farewell.code.close_code(), &farewell.reason);
            last = [last, close].concat().into();
        } else if matches!(self, Self::RawSse(_) | Self::Envelope(Wire::JsonSse)) {
            // What `EventSource` waits before it reconnects.
            let retry = farewell
                .reconnect_after_ms
                .map_or_else(Bytes::new, sse::retry);
            last = [last, retry].concat().into();
        }
        last
    }
}

/// What the frames of scripts are made of.
const SCRIPT_WIRE: Wire = Wire::JsonNdjson;

fn gap_frame(wire: Wire) -> GapForm {
    GapForm::Told(match wire {
        Wire::JsonWebSocket => |channel, cursor, _| gap(Wire::JsonWebSocket, channel, cursor),
        Wire::MessagePackWebSocket => {
            |channel, cursor, _| gap(Wire::MessagePackWebSocket, channel, cursor)
        }
        Wire::JsonSse => |channel, cursor, _| gap(Wire::JsonSse, channel, cursor),
        Wire::JsonNdjson => |channel, cursor, _| gap(Wire::JsonNdjson, channel, cursor),
        Wire::MessagePackStream => {
            |channel, cursor, _| gap(Wire::MessagePackStream, channel, cursor)
        }
    })
}

fn gap(wire: Wire, channel: &ChannelName, cursor: Position) -> Bytes {
    wire.encode(&Reply::Gap {
        channel: channel.clone(),
        cursor,
    })
}
