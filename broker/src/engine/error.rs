//! How an engine can fail.

use std::sync::Arc;

use thiserror::Error;
use widecast_protocol::Code;

/// An engine could not do what it was asked.
#[derive(Debug, Clone, Error)]
pub enum EngineError {
    /// The place where an engine keeps its state cannot be reached, or does not answer in time.
    #[error("expected the engine's store to answer")]
    Unavailable {
        /// What went wrong on the way.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The broker holds as much as it may of what the engine has yet to do.
    #[error("{reason}")]
    Overloaded {
        /// What is too much.
        reason: &'static str,
    },
    /// The store answered with something that this broker did not write.
    #[error("expected {expected} in the engine's store")]
    Corrupt {
        /// What should have been there.
        expected: &'static str,
    },
}

impl EngineError {
    /// The store does not answer, for this reason.
    pub fn unavailable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable {
            source: Arc::from(reason.into()),
        }
    }
}

impl From<EngineError> for Code {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable { .. } => Self::EngineUnavailable,
            EngineError::Overloaded { .. } => Self::Overloaded,
            EngineError::Corrupt { .. } => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_store_that_may_come_back_is_worth_another_try() {
        let unavailable = EngineError::unavailable("connection refused");
        assert!(Code::from(unavailable).retryable());
        let corrupt = EngineError::Corrupt {
            expected: "a position",
        };
        assert_eq!(
            corrupt.to_string(),
            "expected a position in the engine's store"
        );
        assert_eq!(Code::from(corrupt), Code::Internal);
    }
}
