//! What one subscriber was told, in the order in which it was told.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::place::{Place, Places};

/// One thing that a subscriber was told, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It asked for a subscription.
    Asked {
        /// How, and from where.
        what: String,
        /// The places that it resumes from.
        from: Option<Places>,
    },
    /// It was given a cursor, and may resume from it.
    Given {
        /// Where the cursor stood.
        by: &'static str,
        /// The places in it.
        places: Places,
    },
    /// A message.
    Heard(Heard),
    /// It was told that messages were lost.
    Gap {
        /// The channel; unknown where the transport does not say which.
        channel: Option<String>,
        /// Up to where; unknown where the next cursor says it.
        upto: Option<Place>,
        /// Whether this was the answer to a cursor, so that no outbox can have been full.
        on_resume: bool,
    },
    /// It left the channel, and was told that it has.
    Left(String),
    /// Something that the protocol does not know.
    Strange(String),
    /// The connection is over.
    Ended(String),
}

/// A message as a subscriber has heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The publication it was recognised as.
    pub id: String,
    /// Its channel.
    pub channel: String,
    /// Its place, as far as the transport tells.
    pub place: Option<Place>,
    /// Whether that is taken from a cursor of several channels, which may cover own messages behind it.
    pub at_most: bool,
    /// What differs from what was published.
    pub differs: Option<String>,
}

/// An entry of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The time since the run began.
    pub at: Duration,
    /// What was told.
    pub told: Told,
}

/// The log of one subscriber, shared between it and the stage.
#[derive(Debug)]
pub struct Log {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    reached: Places,
}

impl Log {
    /// An empty log of a run that began then.
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            inner: Mutex::default(),
        }
    }

    /// Writes down what was told.
    pub fn tell(&self, told: Told) {
        let at = self.began.elapsed();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match &told {
            Told::Given { places, .. } => inner.reached.extend(places.clone()),
            Told::Heard(Heard {
                channel,
                place: Some(place),
                ..
            })
            | Told::Gap {
                channel: Some(channel),
                upto: Some(place),
                ..
            } => {
                inner.reached.insert(channel.clone(), place.clone());
            }
            _ => {}
        }
        inner.entries.push(Entry { at, told });
    }

    /// Whether the subscriber has come to the place of the channel, or past it.
    pub fn reaches(&self, channel: &str, place: &Place) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = inner.reached.get(channel);
        reached.is_some_and(|reached| reached.reaches(place))
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.clone()
    }
}

fn written(places: &Places) -> String {
    let places = places
        .iter()
        .map(|(channel, place)| format!("{channel} {place}"));
    places.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.4} {}", self.at.as_secs_f64(), self.told)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { what, from } => {
                let from = from.as_ref().map(written);
                let from = from.unwrap_or_else(|| "the end".to_owned());
                write!(f, "asked    {what} from {from}")
            }
            Self::Given { by, places } => write!(f, "given    {} ({by})", written(places)),
            Self::Heard(heard) => {
                let place = heard.place.as_ref().map(ToString::to_string);
                let place = place.unwrap_or_else(|| "somewhere".to_owned());
                write!(f, "heard    {} {place}: {}", heard.channel, heard.id)?;
                match &heard.differs {
                    Some(differs) => write!(f, ", but {differs}"),
                    None => Ok(()),
                }
            }
            Self::Gap {
                channel,
                upto,
                on_resume,
            } => {
                let channel = channel.as_deref().unwrap_or("some channel");
                let upto = upto.as_ref().map(ToString::to_string);
                let upto = upto.unwrap_or_else(|| "the next cursor".to_owned());
                let when = if *on_resume { " (on resuming)" } else { "" };
                write!(f, "gap      {channel} up to {upto}{when}")
            }
            Self::Left(channel) => write!(f, "left     {channel}"),
            Self::Strange(what) => write!(f, "strange  {what}"),
            Self::Ended(how) => write!(f, "ended    {how}"),
        }
    }
}
