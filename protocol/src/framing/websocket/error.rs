//! How a client's frames can break the standard.

use thiserror::Error;

use crate::codes::Code;

/// Why a WebSocket must be failed: nothing of it may be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// RFC 6455, section 5.2: reserved bits are zero unless an extension was negotiated, and none is.
    #[error("expected the reserved bits of a frame to be zero")]
    ReservedBits,
    /// RFC 6455, section 5.2: opcodes 3–7 and 11–15 have no meaning yet.
    #[error("expected a known opcode, not {0:#x}")]
    ReservedOpcode(u8),
    /// RFC 6455, section 5.1: a client masks every frame.
    #[error("expected a masked frame")]
    NotMasked,
    /// RFC 6455, section 5.2: the length takes as few bytes as it can, and its topmost bit is zero.
    #[error("expected the length {0} of a frame in its shortest form")]
    BadLength(u64),
    /// RFC 6455, section 5.5: control frames are never fragmented.
    #[error("expected a control frame in one piece")]
    FragmentedControl,
    /// RFC 6455, section 5.5: the payload of a control frame is at most 125 bytes.
    #[error("expected a control frame of at most 125 bytes")]
    LongControl,
    /// RFC 6455, section 5.4: a continuation continues something.
    #[error("expected a message to have begun before its continuation")]
    NothingToContinue,
    /// RFC 6455, section 5.4: the fragments of one message are not mixed with those of another.
    #[error("expected the continuation of the message that has begun")]
    MessageUnfinished,
    /// RFC 6455, section 5.5.1: the payload of a close frame is empty, or begins with a code of two bytes.
    #[error("expected a close frame to have a code of two bytes, or nothing")]
    ShortClose,
    /// RFC 6455, section 7.4: not a code that may stand in a frame.
    #[error("expected a close code that may be sent, not {0}")]
    BadCloseCode(u16),
    /// RFC 6455, section 8.1: text and close reasons are UTF-8.
    #[error("expected UTF-8")]
    BadUtf8,
    /// The message is larger than this broker takes; seen from its frame headers, before its payload came.
    #[error("expected a message of at most {limit} bytes, not {actual}")]
    MessageTooLarge {
        /// The most bytes that a message may have.
        limit: usize,
        /// The bytes of the message's fragments up to the one that was too much.
        actual: u64,
    },
    /// The message comes in more fragments than this broker takes.
    #[error("expected a message of at most {limit} fragments")]
    TooManyFragments {
        /// The most fragments that a message may have.
        limit: usize,
    },
}

impl FrameError {
    /// What the error means to the client; [`Code::close_code`] is what the close frame says.
    pub const fn code(self) -> Code {
        match self {
            Self::BadUtf8 => Code::BadUtf8,
            Self::MessageTooLarge { .. } | Self::TooManyFragments { .. } => Code::MessageTooLarge,
            _ => Code::WebSocketProtocol,
        }
    }
}

impl From<FrameError> for Code {
    fn from(error: FrameError) -> Self {
        error.code()
    }
}
