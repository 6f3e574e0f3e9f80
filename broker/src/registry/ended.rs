//! How a session or stream ended: what happened, for the log and the metrics, beside what its client is told.

use widecast_protocol::Code;

/// How a session or stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client closed it: by a close frame, or by ending its connection.
    ClientLeft,
    /// The connection could no longer be read or written.
    ConnectionFailed,
    /// The client gave no sign of life for too long.
    HeartbeatTimeout,
    /// The client took what was sent to it too slowly.
    SlowConsumer,
    /// Clients made the broker hold more than it may, and this session most of it.
    Overloaded,
    /// The history no longer reached back to what the client had yet to hear, on a transport that cannot tell of gaps.
    HistoryLost,
    /// The engine could not be asked for what the client had yet to hear.
    EngineUnavailable,
    /// The session was ended with this code because of something that the client had sent.
    Refused(Code),
    /// An operator has put the client out.
    Kicked,
    /// The broker shuts down.
    ShuttingDown,
    /// A poll was answered: that is all there is to it.
    Answered,
    /// It was refused, or its request was given up, before anything was sent.
    NeverBegun,
}

impl Ended {
    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::ConnectionFailed => "connection_failed",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::Overloaded => "overloaded",
            Self::HistoryLost => "history_lost",
            Self::EngineUnavailable => "engine_unavailable",
            Self::Refused(_) => "refused",
            Self::Kicked => "kicked",
            Self::ShuttingDown => "shutting_down",
            Self::Answered => "answered",
            Self::NeverBegun => "never_begun",
        }
    }

    /// The code that a client is told when it polls again; `None` if it has left, or if nothing is wrong.
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::HeartbeatTimeout => Some(Code::HeartbeatTimeout),
            Self::SlowConsumer => Some(Code::SlowConsumer),
            Self::Overloaded => Some(Code::Overloaded),
            Self::HistoryLost => Some(Code::HistoryLost),
            Self::EngineUnavailable => Some(Code::EngineUnavailable),
            Self::Kicked => Some(Code::Kicked),
            Self::ShuttingDown => Some(Code::ShuttingDown),
            Self::Refused(code) => Some(code),
            Self::ClientLeft | Self::ConnectionFailed | Self::Answered | Self::NeverBegun => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ENDINGS;

    #[test]
    fn each_ending_is_counted_under_its_word() {
        let all = [
            Ended::ClientLeft,
            Ended::ConnectionFailed,
            Ended::HeartbeatTimeout,
            Ended::SlowConsumer,
            Ended::Overloaded,
            Ended::HistoryLost,
            Ended::EngineUnavailable,
            Ended::Refused(Code::BadCommand),
            Ended::Kicked,
            Ended::ShuttingDown,
            Ended::Answered,
            Ended::NeverBegun,
        ];
        assert_eq!(all.map(Ended::as_str), ENDINGS);
    }
}
