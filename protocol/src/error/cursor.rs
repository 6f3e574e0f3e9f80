//! Why a cursor was refused.

use thiserror::Error;

use crate::codes::Code;

/// A cursor that the broker did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CursorError {
    /// It is not spelled as the broker spells cursors.
    #[error(
        "expected a cursor as the broker gave it: <epoch>-<offset>, or <channel>=<epoch>-<offset>,…"
    )]
    Malformed,
    /// It names more channels than a cursor may.
    #[error("expected a cursor of at most {limit} channels")]
    TooManyChannels {
        /// How many it may name.
        limit: usize,
    },
}

impl From<CursorError> for Code {
    fn from(_: CursorError) -> Self {
        Self::BadCursor
    }
}
