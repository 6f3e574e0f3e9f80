//! The ground floor: why bytes, names, cursors and compressed values were refused. Everything else of the protocol stands on
//! it, and it uses nothing but the table of codes.

mod chain;
mod cursor;
mod gzip;
mod name;
mod record;

use std::fmt;

use thiserror::Error;

use crate::codes::Code;
pub use chain::chain;
pub use cursor::CursorError;
pub use gzip::GzipError;
pub use name::NameError;
pub use record::RecordError;

/// The two ways of writing a value down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// JSON ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)).
    Json,
    /// [MessagePack](https://github.com/msgpack/msgpack/blob/master/spec.md).
    MessagePack,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::MessagePack => "MessagePack",
        })
    }
}

/// Why a frame, a body or a payload was refused. Places are bytes from the start of what was decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes break the grammar.
    #[error("not {codec}: expected {expected} at byte {at}")]
    Syntax {
        /// What the bytes should have been.
        codec: Codec,
        /// What the grammar asks for.
        expected: &'static str,
        /// Where.
        at: usize,
    },
    /// Text is not UTF-8.
    #[error("text is not UTF-8 at byte {at}")]
    Utf8 {
        /// Where.
        at: usize,
    },
    /// Arrays and objects inside each other, more than a reader can be asked to follow.
    #[error("values are nested more than {limit} deep")]
    TooDeep {
        /// What the bytes are.
        codec: Codec,
        /// The deepest that is allowed.
        limit: usize,
    },
    /// A JSON number that no `f64` can hold.
    #[error("the number at byte {at} is too large for a 64-bit float")]
    NumberRange {
        /// Where.
        at: usize,
    },
    /// A JSON escape that is half of a character.
    #[error(
        "the escape at byte {at} is half of a surrogate pair: send such a string as {{\"$type\":\"Utf16String\",…}}"
    )]
    LoneSurrogate {
        /// Where.
        at: usize,
    },
    /// More items than one frame or body may have.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// A frame that is no object.
    #[error("expected {expected}")]
    Shape {
        /// What should have been there.
        expected: &'static str,
    },
    /// A field that must be there is not.
    #[error("`{field}` is missing: expected {expected}")]
    Missing {
        /// The name of the field.
        field: &'static str,
        /// What should have been there.
        expected: &'static str,
    },
    /// A field is of the wrong kind.
    #[error("`{field}`: expected {expected}")]
    WrongKind {
        /// The name of the field.
        field: &'static str,
        /// What should have been there.
        expected: &'static str,
    },
    /// A command of a type that does not exist.
    #[error("unknown `type` {found:?}: expected {known}")]
    UnknownType {
        /// The type, cut when it is long.
        found: String,
        /// The types there are.
        known: &'static str,
    },
    /// The name of a channel was refused.
    #[error(transparent)]
    ChannelName(NameError),
    /// The name of an event was refused.
    #[error(transparent)]
    EventName(NameError),
    /// An idempotency key was refused.
    #[error(transparent)]
    IdempotencyKey(NameError),
    /// A message id was refused.
    #[error(transparent)]
    MessageId(NameError),
    /// A cursor was refused.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// A compressed value cannot be inflated.
    #[error("the compressed message {0}")]
    Gzip(#[from] GzipError),
    /// A compressed value is inflated, but no value.
    #[error("the inflated message: {0}")]
    Inflated(Box<DecodeError>),
}

impl DecodeError {
    /// What the error means for the client.
    pub fn code(&self) -> Code {
        match self {
            Self::Syntax { codec, .. } | Self::TooDeep { codec, .. } => match codec {
                Codec::Json => Code::BadJson,
                Codec::MessagePack => Code::BadMessagePack,
            },
            Self::NumberRange { .. } | Self::LoneSurrogate { .. } => Code::BadJson,
            Self::Utf8 { .. } => Code::BadUtf8,
            Self::TooMany { .. } | Self::Gzip(GzipError::TooLarge { .. }) => Code::MessageTooLarge,
            Self::Shape { .. }
            | Self::Missing { .. }
            | Self::WrongKind { .. }
            | Self::UnknownType { .. }
            | Self::MessageId(_) => Code::BadCommand,
            Self::ChannelName(_) => Code::BadChannelName,
            Self::EventName(_) => Code::BadEventName,
            Self::IdempotencyKey(_) => Code::BadIdempotencyKey,
            Self::Cursor(_) => Code::BadCursor,
            Self::Gzip(_) => Code::BadMessagePack,
            Self::Inflated(error) => error.code(),
        }
    }
}

/// Checks that bytes are UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|error| DecodeError::Utf8 {
        at: error.valid_up_to(),
    })
}
