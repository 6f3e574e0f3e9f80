//! The transports.

use std::fmt;
use std::str::FromStr;

/// How a client listens to its broker. All of them tell the same, and all of them resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// A WebSocket: one connection for both directions.
    #[default]
    WebSocket,
    /// Server-sent events.
    Sse,
    /// An HTTP answer that never ends, with one JSON object a line.
    HttpStream,
    /// A sequence of requests, each of which waits until there is something. It gets through every proxy.
    LongPoll,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::Sse, Self::HttpStream, Self::LongPoll];

    /// The last part of the transport's path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::Sse => "sse",
            Self::HttpStream => "stream",
            Self::LongPoll => "poll",
        }
    }

    /// The media type of the transport's answers.
    pub(crate) fn accept(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::HttpStream => "application/x-ndjson",
            Self::WebSocket | Self::LongPoll => "application/json",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// There is no transport of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a transport: ws, sse, stream or poll")]
pub struct UnknownTransport;

impl FromStr for Transport {
    type Err = UnknownTransport;

    /// Reads `ws` (or `websocket`), `sse`, `stream` or `poll`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "websocket" {
            return Ok(Self::WebSocket);
        }
        let found = Self::ALL.into_iter().find(|known| known.path() == text);
        found.ok_or(UnknownTransport)
    }
}
