//! What goes into a roster, and what comes out.

use widecast_protocol::Member;

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

/// What the others in the channel are told.
#[derive(Debug, Clone, PartialEq)]
pub enum PresenceChange {
    /// Somebody is here now, or shows new data.
    Joined(Member),
    /// Somebody is gone.
    Left(Member),
}
