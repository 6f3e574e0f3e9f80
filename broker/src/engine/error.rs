//! How an engine can fail.

use thiserror::Error;
use widecast_protocol::Code;

/// An engine could not do what it was asked.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The place where an engine keeps its state cannot be reached, or does not answer in time.
    #[error("expected the engine's store to answer")]
    Unavailable {
        /// What went wrong on the way.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store answered with something that this broker did not write.
    #[error("expected {expected} in the engine's store")]
    Corrupt {
        /// What should have been there.
        expected: &'static str,
    },
}

impl From<EngineError> for Code {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable { .. } => Self::EngineUnavailable,
            EngineError::Corrupt { .. } => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_store_that_may_come_back_is_worth_another_try() {
        let unavailable = EngineError::Unavailable {
            source: "connection refused".into(),
        };
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
