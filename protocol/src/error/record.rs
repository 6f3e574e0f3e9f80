//! Why a stored message was refused.

use thiserror::Error;

use super::{DecodeError, NameError};

/// Why the bytes that a store holds are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// There is nothing.
    #[error("expected a record, found no bytes")]
    Empty,
    /// It begins with no version that this build knows: it is damaged, or a later release wrote it.
    #[error("expected a record of version {known}, found version {found}")]
    Version {
        /// The version that is read and written.
        known: u8,
        /// The first byte.
        found: u8,
    },
    /// It is not made of the values that a record has.
    #[error("expected {expected} in a record")]
    Shape {
        /// What should have been there.
        expected: &'static str,
    },
    /// The bytes are no MessagePack.
    #[error("expected a record of MessagePack values: {0}")]
    Syntax(DecodeError),
    /// The message's data is not of the kind that the record says.
    #[error("expected the data of a message in a record: {0}")]
    Payload(DecodeError),
    /// A name or key breaks its rules.
    #[error("expected names and keys as they are published: {0}")]
    Name(#[from] NameError),
}
