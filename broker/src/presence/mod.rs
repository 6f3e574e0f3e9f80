//! Who is in one channel: members, each with one or more connections.
//!
//! A plain structure: no lock, clock or channel in it. Engines compose it, and tell the changes it returns.

mod entry;
mod roster;

pub use entry::{
    ConnectionId, MemberList, MemberQuery, NumberedChange, PresenceChange, PresenceEntry,
};
pub use roster::Roster;
