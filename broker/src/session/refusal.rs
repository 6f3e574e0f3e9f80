//! Why something that a client asked for was not done.

use std::time::Duration;

use widecast_protocol::{Code, CommandId, Reply};

use crate::engine::EngineError;
use crate::limits::Exceeded;
use crate::log_limit::LogLimit;
use crate::memory_budget::is_full;
use crate::metrics::EngineRefusals;

/// A code of the table, and what was wrong this time, in words for the developer of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong.
    pub code: Code,
    /// What was wrong this time.
    pub detail: String,
    /// When the same can succeed, if that is known.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with what was wrong this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            code,
            detail,
            retry_after: None,
        }
    }

    /// The same as a frame that answers this command.
    pub(in crate::session) fn into_reply(self, id: Option<CommandId>) -> Reply {
        Reply::Error {
            id,
            code: self.code,
            message: self.detail,
            retry_after_ms: self.retry_after.map(wait_millis),
        }
    }
}

/// How long to wait, as the wire has it. The time is rounded up: a client that comes back too early is refused again.
pub fn wait_millis(wait: Duration) -> u64 {
    let millis = wait.as_nanos().div_ceil(1_000_000);
    millis.try_into().unwrap_or(u64::MAX)
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        Self {
            retry_after: Some(exceeded.wait),
            ..Self::new(Code::ShareExceeded, exceeded.detail())
        }
    }
}

impl Refusal {
    /// Refuses new work while clients make the broker hold as much as it may.
    ///
    /// # Errors
    /// `overloaded`, while it is so.
    pub fn while_full() -> Result<(), Self> {
        if is_full() {
            let detail = "clients make the broker hold as much as limits.memory_bytes allows: try again later";
            return Err(Self::new(Code::Overloaded, detail));
        }
        Ok(())
    }
}

/// The lines about engines that fail in this way. While one is away every request fails; the metrics count them.
fn line_of(error: &EngineError) -> &'static LogLimit {
    static UNAVAILABLE: LogLimit = LogLimit::new();
    static OVERLOADED: LogLimit = LogLimit::new();
    static CORRUPT: LogLimit = LogLimit::new();
    match error {
        EngineError::Unavailable { .. } => &UNAVAILABLE,
        EngineError::Overloaded { .. } => &OVERLOADED,
        EngineError::Corrupt { .. } => &CORRUPT,
    }
}

impl From<EngineError> for Refusal {
    /// The client hears what the engine needs, not the names and addresses in the cause, which is for the log.
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        let code = Code::from(error.clone());
        EngineRefusals::count(code);
        if let Some(times) = line_of(&error).due() {
            tracing::warn!(
                times,
                error = &error as &dyn std::error::Error,
                "the engine failed: requests are refused with {} (times: since the last such line)",
                code.as_str()
            );
        }
        Self::new(code, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_wait_too_short() {
        assert_eq!(wait_millis(Duration::from_nanos(1)), 1);
        assert_eq!(wait_millis(Duration::from_micros(1001)), 2);
        assert_eq!(wait_millis(Duration::from_millis(7)), 7);
    }
}
