//! What goes into a roster, and what comes out.

use widecast_protocol::{Member, Members};

/// A connection, different from every other of this broker while either is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A connection shows itself as a member.
#[derive(Debug, Clone, PartialEq)]
pub struct PresenceEntry {
    /// Through which connection.
    pub connection: ConnectionId,
    /// As whom, and with which data.
    pub member: Member,
}

/// A change, and the how-manieth of its channel it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedChange {
    /// Counted from 1.
    pub number: u64,
    /// The change.
    pub change: PresenceChange,
}

/// Which members are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberQuery {
    /// Only those behind this id.
    pub after: Option<String>,
    /// At most this many.
    pub limit: usize,
    /// None behind the one with which their data reaches this many bytes.
    pub bytes: usize,
    /// The member who asks, and is told of every change that the list does not have; nothing for who is told of none.
    pub watcher: Option<String>,
}

/// The members of a channel, or a page of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemberList {
    /// The members, ordered by id.
    pub list: Members,
    /// How many changes have led to this list: a client that has the list knows of the changes up to this number.
    pub changes: u64,
}

/// What the others in the channel are told.
#[derive(Debug, Clone, PartialEq)]
pub enum PresenceChange {
    /// Somebody is here now who was not.
    Joined(Member),
    /// Somebody who is here shows new data.
    Changed(Member),
    /// Somebody is gone.
    Left(Member),
}

impl PresenceChange {
    /// Whom it is about, as it is after the change, or was before it left.
    pub fn member(&self) -> &Member {
        match self {
            Self::Joined(member) | Self::Changed(member) | Self::Left(member) => member,
        }
    }
}
