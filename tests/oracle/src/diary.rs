//! What a member was told of the others in its room, in the order in which it was told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The members of a room: the name of each, by its id.
pub type Picture = BTreeMap<String, String>;

/// One thing that a member was told, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It has entered, and was told who is here.
    Listed(Picture),
    /// Somebody came, or shows another name.
    Joined {
        /// The id.
        id: String,
        /// The name.
        name: String,
    },
    /// Somebody went.
    Left(String),
    /// It has left, or its connection is over: whatever it knew is of the past.
    Away(String),
    /// Something that the protocol does not know.
    Strange(String),
}

/// The diary of one member's connections, shared between it and the stage.
#[derive(Debug)]
pub struct Diary {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pages: Vec<Page>,
    picture: Option<Picture>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct Page {
    /// The time since the run began.
    pub at: Duration,
    /// What was told.
    pub seen: Seen,
}

impl Seen {
    /// What is known afterwards.
    pub fn change(&self, picture: &mut Option<Picture>) {
        match self {
            Self::Listed(listed) => *picture = Some(listed.clone()),
            Self::Joined { id, name } => {
                if let Some(picture) = picture {
                    picture.insert(id.clone(), name.clone());
                }
            }
            Self::Left(id) => {
                if let Some(picture) = picture {
                    picture.remove(id);
                }
            }
            Self::Away(_) => *picture = None,
            Self::Strange(_) => {}
        }
    }
}

impl Diary {
    /// An empty diary of a run that began then.
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            inner: Mutex::default(),
        }
    }

    /// Writes down what was told.
    pub fn tell(&self, seen: Seen) {
        let at = self.began.elapsed();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        seen.change(&mut inner.picture);
        inner.pages.push(Page { at, seen });
    }

    /// Whether it says that these are the members, besides its own.
    pub fn shows(&self, names: &[String], own: &str) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let others = inner.picture.as_ref().map(|picture| others(picture, own));
        others.is_some_and(|others| others.iter().eq(names.iter().filter(|name| *name != own)))
    }

    /// All that was written so far.
    pub fn pages(&self) -> Vec<Page> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pages.clone()
    }
}

/// The names of the other members, sorted.
pub fn others(picture: &Picture, own: &str) -> Vec<String> {
    let names = picture.values().filter(|name| *name != own);
    let mut names: Vec<_> = names.cloned().collect();
    names.sort_unstable();
    names
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.4} ", self.at.as_secs_f64())?;
        match &self.seen {
            Seen::Listed(picture) => write!(f, "listed   {picture:?}"),
            Seen::Joined { id, name } => write!(f, "joined   {name} ({id})"),
            Seen::Left(id) => write!(f, "left     {id}"),
            Seen::Away(how) => write!(f, "away     {how}"),
            Seen::Strange(what) => write!(f, "strange  {what}"),
        }
    }
}
