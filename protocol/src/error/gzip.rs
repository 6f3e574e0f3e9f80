//! Why something compressed was refused.

use thiserror::Error;

/// Why something cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GzipError {
    /// It is something else, or has been changed on its way.
    #[error("is not gzip, or corrupt")]
    Corrupt,
    /// There is less than there should be.
    #[error("ends before its gzip does")]
    EndsEarly,
    /// There is more than there should be.
    #[error("goes on behind the end of its gzip: expected one member")]
    GoesOn,
    /// It inflates to more than is allowed.
    #[error("has more than {limit} bytes inflated")]
    TooLarge {
        /// How many are allowed.
        limit: usize,
    },
}
