//! Why something that a client asked for was not done.

use widecast_protocol::Code;

use crate::engine::EngineError;

/// A code of the table, and what was wrong this time, in words for the developer of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong.
    pub code: Code,
    /// What was wrong this time.
    pub detail: String,
}

impl Refusal {
    /// A refusal with what was wrong this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { code, detail }
    }
}

impl From<EngineError> for Refusal {
    /// The client hears what the engine needs, not the names and addresses in the cause, which is for the log.
    fn from(error: EngineError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the engine failed"
        );
        let detail = error.to_string();
        Self::new(error.into(), detail)
    }
}
