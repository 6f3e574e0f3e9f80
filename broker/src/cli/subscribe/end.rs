//! How listening on one connection ends.

use std::time::Duration;

use crate::cli::error::CliError;

/// How listening on one connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// As many messages have been printed as were asked for.
    Enough,
    /// The connection ended, or could not be made; it makes sense to try again.
    Cut {
        /// What happened, for people.
        reason: String,
        /// When the broker wants to see the client again.
        again_after: Option<Duration>,
    },
}

impl End {
    /// A cut that the broker said nothing about.
    pub(super) fn cut(reason: impl Into<String>) -> Self {
        Self::Cut {
            reason: reason.into(),
            again_after: None,
        }
    }

    /// The same cut, after which the broker wants to see the client again at this time.
    pub(super) fn with_retry(self, again_after: Option<Duration>) -> Self {
        match self {
            Self::Enough => Self::Enough,
            Self::Cut { reason, .. } => Self::Cut {
                reason,
                again_after,
            },
        }
    }
}

/// How listening ended, or why it makes no sense to try again.
pub(super) type Listened = Result<End, CliError>;
