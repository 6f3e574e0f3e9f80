//! One publication, as the engine has ordered it.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::name::{ChannelName, EventName, MessageId, SenderKey};
use crate::payload::Payload;

/// The place of a message in its channel's epoch: 1, 2, 3… without holes. 0 is the place before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The life of a channel's offsets: when they start anew, the epoch changes. Shown as 1–13 letters and digits (base 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    const DIGITS: &'static [u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    /// 36^13 > 2^64 > 36^12.
    const MAX_DIGITS: usize = 13;

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = text.bytes().all(|b| Self::DIGITS.contains(&b))
            && (1..=Self::MAX_DIGITS).contains(&text.len())
            && (text == "0" || !text.starts_with('0'));
        if !canonical {
            return None;
        }
        u64::from_str_radix(text, 36).ok().map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [b'0'; Self::MAX_DIGITS];
        let mut rest = self.0;
        let mut at = Self::MAX_DIGITS;
        loop {
            at -= 1;
            // Below 36, so it fits every integer type.
            digits[at] = Self::DIGITS[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        f.write_str(std::str::from_utf8(&digits[at..]).unwrap_or_default())
    }
}

/// Who published, as the broker saw it: the verified `Origin` of a browser's connection, the name of a backend's API key,
/// or empty when there is neither. A sender cannot choose it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin(Arc<str>);

impl Origin {
    /// Takes an origin that the broker has verified.
    pub fn verified(text: &str) -> Self {
        Self(text.into())
    }

    /// No origin is known.
    pub fn unknown() -> Self {
        static UNKNOWN: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
        Self(Arc::clone(&UNKNOWN))
    }

    /// The text, empty when no origin is known.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// One publication of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The channel it was published on.
    pub channel: ChannelName,
    /// The data that was published.
    pub payload: Payload,
    /// The name of the event, for those who listen to some only.
    pub event: Option<EventName>,
    /// The id that the sender gave it: by this a receiver knows that it has the message from elsewhere already.
    pub id: Option<MessageId>,
    /// Who published.
    pub origin: Origin,
    /// Its place in the epoch.
    pub offset: Offset,
    /// The life of the channel's offsets it belongs to.
    pub epoch: Epoch,
    /// When the broker accepted it, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: u64,
    /// The key of the sender, to whom the message is not delivered. It is never on any wire.
    pub sender: Option<SenderKey>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_reads_back_as_it_was_shown(number: u64) {
            prop_assert_eq!(Epoch::parse(&Epoch(number).to_string()), Some(Epoch(number)));
        }
    }

    #[test]
    fn an_epoch_has_one_spelling() {
        for bad in ["", "00", "01", "A", "+1", "zzzzzzzzzzzzz", "00000000000000"] {
            assert_eq!(Epoch::parse(bad), None, "{bad}");
        }
    }
}
