//! Names and keys that clients choose, valid by construction: parse once at the edge, pass the type on inside.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

pub use crate::error::NameError;

fn check(
    what: &'static str,
    text: &str,
    limit: usize,
    allowed: fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > limit {
        let actual = text.len();
        return Err(NameError::TooLong {
            what,
            limit,
            actual,
        });
    }
    match text.char_indices().find(|&(_, c)| !allowed(c)) {
        Some((at, character)) => Err(NameError::Forbidden {
            what,
            character,
            at,
        }),
        None => Ok(()),
    }
}

macro_rules! shared_text {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! shown_text {
    ($name:ident) => {
        shared_text!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

/// The name of a channel: 1–255 bytes of UTF-8 without control characters, and neither `.` nor `..`. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

shown_text!(ChannelName);

impl ChannelName {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks and takes a channel name.
    ///
    /// # Errors
    /// When the name is empty, longer than [`Self::MAX_BYTES`], has a control character, or is `.` or `..`: URL parsers take
    /// these for steps in the path however they are escaped
    /// ([URL, section 4.1](https://url.spec.whatwg.org/#double-dot-path-segment)), so that a request for such a channel
    /// would ask for something else.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "channel name";
        if let Some(text) = [".", ".."].into_iter().find(|step| *step == text) {
            return Err(NameError::PathStep { what: WHAT, text });
        }
        check(WHAT, text, Self::MAX_BYTES, |c| !c.is_control())?;
        Ok(Self(text.into()))
    }

    /// The part before the first `:`, which picks a configured namespace if there is one of that name.
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once(':').map(|(namespace, _)| namespace)
    }
}

/// The name of an event: 1–255 bytes of UTF-8 without CR, LF or NUL, which an event stream cannot carry
/// ([HTML, section 9.2.5](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventName(Arc<str>);

shown_text!(EventName);

impl EventName {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks and takes an event name.
    ///
    /// # Errors
    /// When the name is empty, longer than [`Self::MAX_BYTES`], or has a CR, LF or NUL.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check("event name", text, Self::MAX_BYTES, |c| {
            !matches!(c, '\r' | '\n' | '\0')
        })?;
        Ok(Self(text.into()))
    }
}

/// The unguessable key a client publishes and subscribes with, 16–64 visible ASCII characters: a message is never
/// delivered to a subscriber with the key it was published with. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SenderKey(Arc<str>);

shared_text!(SenderKey);

impl SenderKey {
    /// The least length in characters.
    pub const MIN_LENGTH: usize = 16;
    /// The greatest length in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Checks and takes a sender key.
    ///
    /// # Errors
    /// When the key is not 16–64 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let what = "sender key";
        check(what, text, Self::MAX_LENGTH, |c| c.is_ascii_graphic())?;
        if text.len() < Self::MIN_LENGTH {
            return Err(NameError::TooShort {
                what,
                limit: Self::MIN_LENGTH,
                actual: text.len(),
            });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SenderKey(…)")
    }
}

/// A key that makes a publication safe to repeat: 1–255 visible ASCII characters, unique per publication of a channel.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

shown_text!(IdempotencyKey);

impl IdempotencyKey {
    /// The greatest length in characters.
    pub const MAX_LENGTH: usize = 255;

    /// Checks and takes an idempotency key.
    ///
    /// # Errors
    /// When the key is not 1–255 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check("idempotency key", text, Self::MAX_LENGTH, |c| {
            c.is_ascii_graphic()
        })?;
        Ok(Self(text.into()))
    }
}

/// The id that a sender gives its message: 1–64 visible ASCII characters. All receivers are shown it, so that they know a
/// message again that reaches them on several ways.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(Arc<str>);

shown_text!(MessageId);

impl MessageId {
    /// The greatest length in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Checks and takes a message id.
    ///
    /// # Errors
    /// When the id is not 1–64 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check("message id", text, Self::MAX_LENGTH, |c| {
            c.is_ascii_graphic()
        })?;
        Ok(Self(text.into()))
    }
}

impl From<&MessageId> for IdempotencyKey {
    fn from(id: &MessageId) -> Self {
        Self(Arc::clone(&id.0))
    }
}

/// The unguessable name of a session, made by the broker; whoever knows it can send commands as the session.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Arc<str>);

shown_text!(SessionId);

impl SessionId {
    /// The greatest length in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Checks and takes a session id.
    ///
    /// # Errors
    /// When the id is not 1–64 ASCII letters, digits, `-` or `_`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check("session id", text, Self::MAX_LENGTH, |c| {
            c.is_ascii_alphanumeric() || c == '-' || c == '_'
        })?;
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_name_is_1_to_255_bytes_without_control_characters() {
        assert!(ChannelName::parse("").is_err());
        assert!(ChannelName::parse(&"é".repeat(127)).is_ok());
        assert_eq!(
            ChannelName::parse(&"é".repeat(128)).map_err(|e| e.to_string()),
            Err("channel name has 256 bytes, the limit is 255".to_owned())
        );
        assert_eq!(
            ChannelName::parse("a\u{7f}").map_err(|e| e.to_string()),
            Err("channel name has the forbidden character U+007F at byte 1".to_owned())
        );
        for step in [".", ".."] {
            assert!(ChannelName::parse(step).is_err());
        }
        for name in ["...", "a/..", "../a", ".a", "%2e", "\u{2024}"] {
            assert!(ChannelName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_namespace_ends_at_the_first_colon() {
        let name = ChannelName::parse("chat:room:1").unwrap();
        assert_eq!(name.namespace(), Some("chat"));
        assert_eq!(ChannelName::parse("chat").unwrap().namespace(), None);
    }

    #[test]
    fn an_event_name_with_a_line_break_or_nul_is_refused() {
        for bad in ["a\nb", "a\rb", "a\0b", ""] {
            assert!(EventName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(EventName::parse("price changed").is_ok());
    }

    #[test]
    fn a_sender_key_never_shows_itself() {
        let key = SenderKey::parse("0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "SenderKey(…)");
        assert!(SenderKey::parse("0123456789abcde").is_err());
        assert!(SenderKey::parse(&"a".repeat(65)).is_err());
    }
}
