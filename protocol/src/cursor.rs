//! Where a reader is: opaque to clients, exact to the broker.
//!
//! One channel: `<epoch>-<offset>`. Several channels: `<name>=<epoch>-<offset>` joined by `,`, names percent-encoded, so
//! that a cursor stays good when the reader asks for other channels next time, and fits a header, a URL and an SSE `id:`.

use std::fmt;

pub use crate::error::CursorError;
use crate::message::{Epoch, Offset};
use crate::name::ChannelName;
use indexmap::IndexMap;
use indexmap::map::Entry;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The characters of a channel name that a cursor shows as they are (RFC 3986, section 2.3: unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The place of a reader in one channel: everything up to and including `offset` has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the channel's offsets that `offset` belongs to.
    pub epoch: Epoch,
    /// The newest offset that has been seen; 0 before the first.
    pub offset: Offset,
}

impl Position {
    /// Reads `<epoch>-<offset>`.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (epoch, offset) = text.split_once('-').ok_or(CursorError::Malformed)?;
        let canonical = !offset.is_empty()
            && offset.bytes().all(|b| b.is_ascii_digit())
            && (offset == "0" || !offset.starts_with('0'));
        if !canonical {
            return Err(CursorError::Malformed);
        }
        Ok(Self {
            epoch: Epoch::parse(epoch).ok_or(CursorError::Malformed)?,
            offset: Offset(offset.parse().map_err(|_| CursorError::Malformed)?),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// The places of a reader in several channels, in the order the reader named them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CursorVector {
    entries: IndexMap<ChannelName, Position>,
}

impl CursorVector {
    /// How many channels a cursor may name: what bounds the work that one cursor can ask for.
    pub const MAX_CHANNELS: usize = 1024;

    /// A vector without channels.
    pub fn new() -> Self {
        Self::default()
    }

    /// The place in one channel, if the vector has it.
    pub fn get(&self, channel: &ChannelName) -> Option<Position> {
        self.entries.get(channel).copied()
    }

    /// The place in the channel that was named first.
    pub fn first(&self) -> Option<Position> {
        self.entries.first().map(|(_, &position)| position)
    }

    /// Sets the place in one channel.
    pub fn set(&mut self, channel: &ChannelName, position: Position) {
        match self.entries.get_mut(channel) {
            Some(known) => *known = position,
            None => {
                self.entries.insert(channel.clone(), position);
            }
        }
    }

    fn parse(text: &str) -> Result<Self, CursorError> {
        let mut vector = Self::new();
        for part in text.split(',') {
            if vector.entries.len() == Self::MAX_CHANNELS {
                return Err(CursorError::TooManyChannels {
                    limit: Self::MAX_CHANNELS,
                });
            }
            let (name, position) = part.split_once('=').ok_or(CursorError::Malformed)?;
            let name = percent_decode_str(name)
                .decode_utf8()
                .map_err(|_| CursorError::Malformed)?;
            let name = ChannelName::parse(&name).map_err(|_| CursorError::Malformed)?;
            let position = Position::parse(position)?;
            match vector.entries.entry(name) {
                Entry::Vacant(entry) => entry.insert(position),
                Entry::Occupied(_) => return Err(CursorError::Malformed),
            };
        }
        Ok(vector)
    }
}

impl fmt::Display for CursorVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, position)) in self.entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let name = utf8_percent_encode(name.as_str(), ENCODED);
            write!(f, "{comma}{name}={position}")?;
        }
        Ok(())
    }
}

/// Any cursor a client may hand back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// A place in the one channel of the request.
    One(Position),
    /// Places in several channels.
    Several(CursorVector),
}

impl Cursor {
    /// Reads a cursor of either kind.
    ///
    /// # Errors
    /// When the broker cannot have made it.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        if text.contains('=') {
            CursorVector::parse(text).map(Self::Several)
        } else {
            Position::parse(text).map(Self::One)
        }
    }

    /// The place in `channel`: a cursor of one channel is about whichever channel is asked for.
    pub fn position(&self, channel: &ChannelName) -> Option<Position> {
        match self {
            Self::One(position) => Some(*position),
            Self::Several(vector) => vector.get(channel),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(position) => position.fmt(f),
            Self::Several(vector) => vector.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> impl Strategy<Value = Position> {
        (any::<u64>(), any::<u64>()).prop_map(|(epoch, offset)| Position {
            epoch: Epoch(epoch),
            offset: Offset(offset),
        })
    }

    proptest! {
        #[test]
        fn a_cursor_of_one_channel_reads_back(position in position()) {
            prop_assert_eq!(Cursor::parse(&position.to_string()), Ok(Cursor::One(position)));
        }

        #[test]
        fn a_cursor_of_several_channels_reads_back(
            entries in proptest::collection::btree_map("[^\\x00-\\x1f\\x7f-\\x9f.][^\\x00-\\x1f\\x7f-\\x9f]{0,19}", position(), 1..5),
        ) {
            let mut vector = CursorVector::new();
            for (name, position) in entries {
                vector.set(&ChannelName::parse(&name).unwrap(), position);
            }
            let text = vector.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(Cursor::parse(&text), Ok(Cursor::Several(vector)));
        }

        #[test]
        fn a_cursor_that_is_read_is_spelled_as_the_broker_spells_it(text in "[0-9a-z=,%-]{0,30}") {
            if let Ok(Cursor::One(position)) = Cursor::parse(&text) {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }

    #[test]
    fn a_cursor_of_too_many_channels_is_refused_before_its_end_is_read() {
        let names = (0..=CursorVector::MAX_CHANNELS).map(|n| format!("c{n}=1-1"));
        let mut parts: Vec<_> = names.collect();
        let many = parts.join(",") + ",this is no cursor";
        assert_eq!(
            Cursor::parse(&many),
            Err(CursorError::TooManyChannels {
                limit: CursorVector::MAX_CHANNELS
            })
        );
        parts.pop();
        assert!(Cursor::parse(&parts.join(",")).is_ok());
    }

    #[test]
    fn a_cursor_that_the_broker_did_not_make_is_refused() {
        for bad in [
            "",
            "-",
            "1-",
            "-1",
            "1-01",
            "1-x",
            "1--1",
            "a=1-1,a=1-2",
            "=1-1",
            "a=",
            "%ff=1-1",
            "1-99999999999999999999",
        ] {
            assert_eq!(Cursor::parse(bad), Err(CursorError::Malformed), "{bad}");
        }
    }
}
