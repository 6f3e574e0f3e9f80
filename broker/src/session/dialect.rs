//! What a session speaks: which bytes it is sent for what. The transports choose one; everything else of a session is the
//! same for all.

use bytes::Bytes;
use widecast_protocol::framing::{Content, Framing, Wire};
use widecast_protocol::{Code, Reply};

use crate::registry::{Cursors, GapForm, Voice};

/// The form of a session's bytes, and the way that they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    wire: Wire,
    span: Span,
    way: Way,
}

/// Which cursor the messages of a session without frames carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// That of the one channel the session was opened for.
    One,
    /// One that covers several channels.
    Several,
}

/// How the bytes come to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Over a connection of the session's own.
    Connection,
    /// Collected until a poll takes them.
    Polls,
    /// Collected until a poll takes them as a script (JSONP). Who loads scripts is not known.
    Scripts,
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
    /// That of a connection.
    pub const fn connected(wire: Wire) -> Self {
        Self {
            wire,
            span: Span::One,
            way: Way::Connection,
        }
    }

    /// That of a sequence of polls.
    pub const fn polled(wire: Wire) -> Self {
        Self {
            way: Way::Polls,
            ..Self::connected(wire)
        }
    }

    /// That of a sequence of polls for frames that are answered scripts.
    pub const fn scripts() -> Self {
        Self {
            way: Way::Scripts,
            ..Self::connected(Wire::JsonNdjson)
        }
    }

    /// The same, for so many channels.
    #[must_use]
    pub const fn spanning(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// What messages look like.
    pub fn wire(self) -> Wire {
        self.wire
    }

    /// What frames look like, if the session is told any.
    pub fn frames(self) -> Option<Wire> {
        self.wire.frames()
    }

    /// Which cursor its messages carry.
    pub fn span(self) -> Span {
        self.span
    }

    /// Whether the session is a sequence of polls, without a connection of its own.
    pub fn is_polled(self) -> bool {
        self.way != Way::Connection
    }

    /// Whether it is loaded as scripts.
    pub fn is_script(self) -> bool {
        self.way == Way::Scripts
    }

    /// Whether it is one poll, whose answer is messages and a cursor.
    fn is_one_poll(self) -> bool {
        self.is_polled() && self.frames().is_none()
    }

    /// Whether the session is carried by a WebSocket.
    pub fn is_websocket(self) -> bool {
        self.wire.framing() == Framing::WebSocket
    }

    /// Whether it is the WebSocket of a page that sends no frames.
    pub fn is_page_websocket(self) -> bool {
        self.is_websocket() && !matches!(self.wire.content(), Content::Frame(_))
    }

    /// Whether the session can send, and so has to be told apart from those who hear it.
    pub fn sends(self) -> bool {
        self.is_websocket() || self.frames().is_some()
    }

    /// What the session's outbox says besides what is pushed into it.
    pub fn voice(self) -> Voice {
        let gap = match self.wire.tells_gaps() {
            _ if self.is_one_poll() => GapForm::Closes,
            true => GapForm::Told,
            false => GapForm::Ends,
        };
        let cursors = match self.span {
            Span::Several => Cursors::OfAll,
            Span::One if self.is_one_poll() => Cursors::OfAnswers,
            Span::One => Cursors::OfEach,
        };
        Voice {
            wire: self.wire,
            gap,
            cursors,
        }
    }

    /// Whether the client is told of lost messages by something that its cursor may not be ahead of. The answer of a poll
    /// tells of them and gives the cursor in one.
    pub fn tells_gaps(self) -> bool {
        !self.is_one_poll()
    }

    /// A sign of life from the broker.
    pub fn heartbeat(self) -> Option<Bytes> {
        (!self.is_polled()).then(|| self.wire.heartbeat())
    }

    /// The last bytes of a session.
    pub fn farewell(self, farewell: &Farewell) -> Bytes {
        let Farewell {
            code,
            reason,
            reconnect_after_ms,
        } = farewell;
        let goodbye = self.frames().map_or_else(Bytes::new, |frames| {
            frames.encode(&Reply::Goodbye {
                code: *code,
                reason: reason.clone(),
                reconnect_after_ms: *reconnect_after_ms,
            })
        });
        let end = self.wire.end(*code, reason, *reconnect_after_ms);
        [goodbye, end].concat().into()
    }
}
