//! How sessions reach their clients.

use super::dialect::Dialect;

/// How a client is connected.
#[derive(Debug, Clone, Copy)]
pub struct Carrier {
    /// In which form the session is sent each thing that happens.
    pub dialect: Dialect,
    /// Under which name the session is counted.
    pub transport: Transport,
}

/// How a session reaches its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket, raw or with frames.
    WebSocket,
    /// An event stream.
    Sse,
    /// An HTTP stream.
    Stream,
    /// Long or short polls, also by scripts.
    Poll,
}

impl Transport {
    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Stream => "stream",
            Self::Poll => "poll",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::TRANSPORTS;

    #[test]
    fn each_transport_is_counted_under_its_word() {
        let all = [
            Transport::WebSocket,
            Transport::Sse,
            Transport::Stream,
            Transport::Poll,
        ];
        assert_eq!(all.map(Transport::as_str), TRANSPORTS);
    }
}
