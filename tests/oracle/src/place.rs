//! Places in channels, read from cursors. Clients take cursors as opaque; the oracle looks inside to judge them.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use percent_encoding::percent_decode_str;

/// A place in a channel: everything up to the offset has been passed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The epoch that the offset counts in.
    pub epoch: String,
    /// How many messages of the epoch lie before the place.
    pub offset: u64,
}

/// A place in each of several channels.
pub type Places = BTreeMap<String, Place>;

impl Place {
    /// A place.
    pub fn new(epoch: &str, offset: u64) -> Self {
        Self {
            epoch: epoch.to_owned(),
            offset,
        }
    }

    /// The place of `<epoch>-<offset>`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn read(text: &str) -> Result<Self> {
        let parts = text.split_once('-');
        let (epoch, offset) = parts.with_context(|| format!("not a place: {text}"))?;
        let offset = offset.parse();
        Ok(Self::new(epoch, offset.with_context(|| text.to_owned())?))
    }

    /// The place behind so many further messages.
    #[must_use]
    pub fn behind(&self, messages: u64) -> Self {
        Self::new(&self.epoch, self.offset + messages)
    }

    /// Whether a reader here has passed the other place.
    pub fn reaches(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.offset >= other.offset
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// The places in a cursor, of one channel or of several.
///
/// # Errors
/// When the text is no cursor of these channels.
pub fn read_cursor(text: &str, channels: &[String]) -> Result<Places> {
    if !text.contains('=') {
        let [channel] = channels else {
            bail!("the cursor {text} is of one channel, not of {channels:?}");
        };
        return Ok([(channel.clone(), Place::read(text)?)].into());
    }
    let mut places = Places::new();
    for part in text.split(',') {
        let (name, place) = part.split_once('=').context("a part without a name")?;
        let name = percent_decode_str(name).decode_utf8()?.into_owned();
        if !channels.contains(&name) {
            bail!("the cursor {text} has {name}, which was not asked for");
        }
        places.insert(name, Place::read(place)?);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_of_one_and_of_several_channels_are_read() {
        let channels = ["a b".to_owned(), "c".to_owned()];
        let places = read_cursor("a%20b=e1-3,c=e2-0", &channels).unwrap();
        assert_eq!(places["a b"], Place::new("e1", 3));
        assert_eq!(places["c"], Place::new("e2", 0));
        assert_eq!(read_cursor("e1-3", &channels[1..]).unwrap()["c"].offset, 3);
        assert!(read_cursor("e1-3", &channels).is_err());
        assert!(read_cursor("d=e1-3", &channels).is_err());
    }
}
