//! Why a name or key was refused.

use thiserror::Error;

/// Why a name or key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// Shorter than the kind of name allows.
    #[error("{what} has {actual} characters, at least {limit} are needed")]
    TooShort {
        /// Which kind of name.
        what: &'static str,
        /// The least length.
        limit: usize,
        /// The length that was given.
        actual: usize,
    },
    /// Longer than the kind of name allows.
    #[error("{what} has {actual} bytes, the limit is {limit}")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// The greatest length in bytes.
        limit: usize,
        /// The length that was given.
        actual: usize,
    },
    /// A character that the kind of name does not allow.
    #[error("{what} has the forbidden character U+{:04X} at byte {at}", *.character as u32)]
    Forbidden {
        /// Which kind of name.
        what: &'static str,
        /// The character.
        character: char,
        /// Its place in bytes from the start.
        at: usize,
    },
    /// A name that is a step in a path.
    #[error(
        "{what} is {text:?}: URLs take it for a step in their path, so that no client could put it into one"
    )]
    PathStep {
        /// Which kind of name.
        what: &'static str,
        /// The name.
        text: &'static str,
    },
}
