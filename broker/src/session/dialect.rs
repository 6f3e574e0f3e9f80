//! The dialect of a session: the form in which it is sent each thing that happens. The transports choose one; everything
//! else of a session is the same for all.

use bytes::Bytes;
use widecast_protocol::framing::{Content, Framing, Wire};
use widecast_protocol::{Code, Reply};

use crate::registry::{CursorForm, GapForm, OutboxForm};

/// The form of a session's bytes, and how they come to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    wire: Wire,
    scope: CursorScope,
    medium: Medium,
}

/// Which cursor the messages of a session without frames carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorScope {
    /// That of the one channel the session was opened for.
    OneChannel,
    /// One that covers several channels.
    SeveralChannels,
}

/// How the bytes come to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    /// Over a connection of the session's own.
    Connection,
    /// Collected until a poll takes them.
    Polls,
    /// Collected until a poll takes them as a script (JSONP). The broker cannot know which page loads a script.
    Scripts,
}

/// Why a session ends, and when the client may come back.
#[derive(Debug, Clone)]
pub struct Goodbye {
    /// Why.
    pub code: Code,
    /// Why, for people.
    pub reason: String,
    /// When to connect again, in milliseconds; `None`: not at all.
    pub reconnect_after_ms: Option<u64>,
}

impl Dialect {
    /// The dialect of a session with a connection of its own.
    pub const fn connected(wire: Wire) -> Self {
        Self {
            wire,
            scope: CursorScope::OneChannel,
            medium: Medium::Connection,
        }
    }

    /// The dialect of a sequence of polls.
    pub const fn polled(wire: Wire) -> Self {
        Self {
            medium: Medium::Polls,
            ..Self::connected(wire)
        }
    }

    /// The dialect of a session of polls whose answers are scripts (JSONP).
    pub const fn scripts() -> Self {
        Self {
            medium: Medium::Scripts,
            ..Self::connected(Wire::JsonNdjson)
        }
    }

    /// The same dialect, with cursors of this scope.
    #[must_use]
    pub const fn covering(self, scope: CursorScope) -> Self {
        Self { scope, ..self }
    }

    /// The wire form of messages.
    pub fn wire(self) -> Wire {
        self.wire
    }

    /// The wire form of frames, if the session is sent any.
    pub fn frames(self) -> Option<Wire> {
        self.wire.frames()
    }

    /// Which cursor its messages carry.
    pub fn scope(self) -> CursorScope {
        self.scope
    }

    /// Whether the session is a sequence of polls, without a connection of its own.
    pub fn is_polled(self) -> bool {
        self.medium != Medium::Connection
    }

    /// Whether it is loaded as scripts.
    pub fn is_script(self) -> bool {
        self.medium == Medium::Scripts
    }

    /// Whether it is one poll, whose answer is messages and a cursor.
    pub(super) fn is_one_poll(self) -> bool {
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

    /// How the session's outbox tells of gaps and cursors.
    pub fn form(self) -> OutboxForm {
        let gap = match self.wire.tells_gaps() {
            _ if self.is_one_poll() => GapForm::Noted,
            true => GapForm::Told,
            false => GapForm::Ends,
        };
        let cursors = match self.scope {
            CursorScope::SeveralChannels => CursorForm::OfAll,
            CursorScope::OneChannel if self.is_one_poll() => CursorForm::OfAnswers,
            CursorScope::OneChannel => CursorForm::OfEach,
        };
        OutboxForm {
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
    pub fn goodbye(self, goodbye: &Goodbye) -> Bytes {
        let Goodbye {
            code,
            reason,
            reconnect_after_ms,
        } = goodbye;
        let reply = Reply::Goodbye {
            code: *code,
            reason: reason.clone(),
            reconnect_after_ms: *reconnect_after_ms,
        };
        // The answer of one poll is messages and nothing else.
        let told = (!self.is_one_poll()).then(|| self.wire.goodbye(&reply));
        let goodbye = told.flatten().unwrap_or_default();
        let end = self.wire.end(*code, reason, *reconnect_after_ms);
        [goodbye, end].concat().into()
    }
}
