//! The oracle itself: from what was published and what every subscriber was told to the promises that were broken. It
//! knows nothing of sockets, so that it is tested with testimonies that are made up.

mod excuse;
mod reader;
mod rooms;
mod truth;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::catalog::Record;
use crate::diary::Page;
use crate::log::Entry;
use crate::place::Place;

use self::reader::Hearing;
use self::truth::Truth;

/// Everything that is judged of one run.
#[derive(Debug, Default)]
pub struct Case {
    /// What was published.
    pub records: Vec<Record>,
    /// What each subscriber was told.
    pub testimonies: Vec<Testimony>,
    /// The rules of the channels.
    pub rules: BTreeMap<String, ChannelRules>,
    /// The last message of each channel: nobody may be before it at the end.
    pub ends: BTreeMap<String, Place>,
    /// Answers to publishers that the protocol does not have.
    pub strange: Vec<String>,
    /// How often all messages were lost, so that every channel begins a new epoch.
    pub losses: usize,
    /// Whether a broker itself repeats what has an idempotency key when it was not answered by its server.
    pub repeats: bool,
    /// Who was told what of whom.
    pub room: Room,
}

/// A room and its members.
#[derive(Debug, Default)]
pub struct Room {
    /// Whether a server may take over that knows less of the members than was told already. Who asks it for the list may then hear again
    /// what the list has; at the end, all know the truth.
    pub goes_back: bool,
    /// What each connection of a member was told.
    pub watches: Vec<Watch>,
    /// The names of those who are here at the end, sorted.
    pub members: Vec<String>,
    /// The names that each broker lists at the end, sorted.
    pub lists: Vec<Vec<String>>,
}

/// What one connection of a member says.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Its name.
    pub name: String,
    /// The name of the member.
    pub member: String,
    /// Whether it is here at the end.
    pub stays: bool,
    /// What it was told.
    pub pages: Vec<Page>,
}

/// What one subscriber says.
#[derive(Debug, Clone, Default)]
pub struct Testimony {
    /// Its name.
    pub name: String,
    /// Its sender key, if that is kept.
    pub sender: Option<String>,
    /// Whether it asked to hear its own messages.
    pub echo: bool,
    /// The channels it subscribes to.
    pub channels: Vec<String>,
    /// What it was told.
    pub entries: Vec<Entry>,
}

/// What decides whether a gap is needless.
#[derive(Debug, Clone, Copy)]
pub struct ChannelRules {
    /// How many messages the history keeps.
    pub history_messages: u64,
    /// How many bytes the history keeps.
    pub history_bytes: u64,
    /// Whether messages are dropped for slow consumers.
    pub drops: bool,
    /// Whether the history was evicted at some time, so that nobody can say what it had.
    pub evicted: bool,
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A message was neither heard nor covered by a gap that was told.
    Lost,
    /// A message was heard again, or behind a later one.
    Again,
    /// A subscriber heard what was published with its own sender key.
    HeardOwn,
    /// What was heard is not what was published.
    Differs,
    /// A cursor covers what was neither heard nor told.
    CursorAhead,
    /// A cursor lies before what was heard already.
    CursorBehind,
    /// A gap was told although the history still had everything.
    NeedlessGap,
    /// A subscriber did not come to the end, although all was calm.
    NotCaughtUp,
    /// A message was heard after `unsubscribed`.
    HeardAfterLeaving,
    /// Two messages have one place.
    TwoAtOnePlace,
    /// One message has two places.
    PublishedTwice,
    /// There is no message at a place.
    Hole,
    /// `duplicate` was said of a message that is none, or was not said of one.
    WrongDuplicate,
    /// Messages of one sender are not in the order in which they were sent.
    OutOfOrder,
    /// A message was heard although its publisher was told that it is refused.
    HeardRefused,
    /// The offsets began anew although the broker had not lost anything.
    EpochChanged,
    /// A member is seen that is not here, or is here and is not seen, although all was calm.
    WrongMembers,
    /// A member was told to come that was here already.
    JoinedTwice,
    /// A member was told to go that was not here.
    LeftTwice,
    /// Something came that the protocol does not have.
    Strange,
}

/// A broken promise, and where it shows.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which promise.
    pub kind: Kind,
    /// What happened.
    pub what: String,
    /// The testimony and its entry that show it.
    pub shown_by: Option<(usize, usize)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// Every promise that was broken, those of publishing first.
pub fn judge(case: &Case) -> Vec<Violation> {
    let (truth, mut violations) = Truth::of(case);
    for number in 0..case.testimonies.len() {
        violations.extend(Hearing::of(case, &truth, number));
    }
    let strange = case.strange.iter().map(|what| Violation {
        kind: Kind::Strange,
        what: what.clone(),
        shown_by: None,
    });
    violations.extend(strange);
    violations.extend(rooms::judge(&case.room));
    violations
}
