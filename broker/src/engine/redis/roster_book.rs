//! What this node has told the server of its members, so that it can tell it again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use widecast_protocol::{ChannelName, Member};

use crate::engine::{ConnectionId, PresenceEntry};

/// A connection in a channel.
pub(super) type MembershipKey = (ChannelName, ConnectionId);

#[derive(Debug, Default)]
struct Pages {
    here: HashMap<ChannelName, HashMap<ConnectionId, Member>>,
    /// Those of them for which the server knows that this node answers.
    answered_for: HashSet<ChannelName>,
    /// The server process that was told of everybody who is here.
    known_to: Option<String>,
    /// When the server was found to have lost the lease of this node, if it has.
    lost_lease: Option<Instant>,
    /// Connections that are gone, which the server does not know yet.
    owed: HashSet<MembershipKey>,
    /// The generation of a channel's members in which the server was told of members of this node.
    generations: HashMap<ChannelName, String>,
    /// The channels of whose members the server has to be told again; with the generation of which that was heard, if it was.
    anew: HashMap<ChannelName, Option<String>>,
    /// The server may not know all channels for which this node answers.
    answers_are_lost: bool,
    /// When the members of a channel have to be looked at whose grace time may be over.
    due: HashMap<ChannelName, Instant>,
}

/// The members that this node has, and what there is to do for them.
#[derive(Debug, Default)]
pub(super) struct RosterBook {
    pages: Mutex<Pages>,
    changed: Notify,
}

impl RosterBook {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is here as a member. Returns whether it is the channel's first on this node.
    pub(super) fn enter(&self, channel: &ChannelName, entry: &PresenceEntry) -> bool {
        let mut pages = self.pages();
        pages.owed.remove(&(channel.clone(), entry.connection));
        let here = pages.here.entry(channel.clone()).or_default();
        here.insert(entry.connection, entry.member.clone());
        here.len() == 1
    }

    /// A connection is gone.
    pub(super) fn exit(&self, channel: &ChannelName, connection: ConnectionId) {
        let mut pages = self.pages();
        if let Some(here) = pages.here.get_mut(channel) {
            here.remove(&connection);
            if here.is_empty() {
                pages.here.remove(channel);
                pages.answered_for.remove(channel);
            }
        }
    }

    /// The generation of a channel's members in which the server was told of members of this node.
    pub(super) fn generation(&self, channel: &ChannelName) -> Option<String> {
        self.pages().generations.get(channel).cloned()
    }

    /// The server was told of a member of this node in this generation. Returns whether others were told in another one.
    pub(super) fn note_generation(&self, channel: &ChannelName, generation: &str) -> bool {
        let mut pages = self.pages();
        if !pages.here.contains_key(channel) {
            return false;
        }
        let generation = generation.to_owned();
        let before = pages
            .generations
            .insert(channel.clone(), generation.clone());
        before.is_some_and(|before| before != generation)
    }

    /// Nothing of this node is left in a channel, unless somebody has come meanwhile.
    pub(super) fn forget_generation(&self, channel: &ChannelName) {
        let mut pages = self.pages();
        if !pages.here.contains_key(channel) {
            pages.generations.remove(channel);
        }
    }

    /// The channels with members of this node of which the server was told.
    pub(super) fn told_channels(&self) -> Vec<ChannelName> {
        let pages = self.pages();
        let here = pages.here.keys();
        let told = here.filter(|channel| pages.generations.contains_key(*channel));
        told.cloned().collect()
    }

    /// The server has to be told again of all members in a channel: of this generation, if one was heard.
    pub(super) fn note_anew(&self, channel: &ChannelName, generation: Option<String>) {
        let mut pages = self.pages();
        if !pages.here.contains_key(channel) {
            return;
        }
        match generation {
            None => {
                pages.anew.insert(channel.clone(), None);
            }
            heard => {
                pages.anew.entry(channel.clone()).or_insert(heard);
            }
        }
    }

    /// Whether the server has to be told again of all members in a channel.
    pub(super) fn take_anew(&self, channel: &ChannelName) -> bool {
        let mut pages = self.pages();
        let anew = pages.anew.remove(channel);
        let known = pages.generations.get(channel);
        anew.is_some_and(|heard| heard.is_none() || heard.as_ref() != known)
    }

    /// The server may not know all channels for which this node answers.
    pub(super) fn note_answers_lost(&self) {
        self.pages().answers_are_lost = true;
    }

    /// Whether that is so.
    pub(super) fn take_answers_lost(&self) -> bool {
        std::mem::take(&mut self.pages().answers_are_lost)
    }

    /// The server does not know yet that a connection is gone.
    pub(super) fn owe_exit(&self, channel: &ChannelName, connection: ConnectionId) {
        self.pages().owed.insert((channel.clone(), connection));
    }

    /// The connections of whose end the server has to be told.
    pub(super) fn owed(&self) -> Vec<MembershipKey> {
        self.pages().owed.iter().cloned().collect()
    }

    /// The server is told of the end of a connection. Returns whether it still has to be.
    pub(super) fn take_owed(&self, key: &MembershipKey) -> bool {
        self.pages().owed.remove(key)
    }

    /// Whether the server knows that this node answers for a channel.
    pub(super) fn answers_for(&self, channel: &ChannelName) -> bool {
        self.pages().answered_for.contains(channel)
    }

    /// The server knows that this node answers for a channel, as long as it has members there.
    pub(super) fn note_answer(&self, channel: &ChannelName) {
        let mut pages = self.pages();
        if pages.here.contains_key(channel) {
            pages.answered_for.insert(channel.clone());
        }
    }

    /// The members that are in a channel through this node.
    pub(super) fn members(&self, channel: &ChannelName) -> Vec<Member> {
        let pages = self.pages();
        let here = pages.here.get(channel);
        here.map_or_else(Vec::new, |here| here.values().cloned().collect())
    }

    /// Everybody who is in a channel through this node.
    pub(super) fn entries(&self, channel: &ChannelName) -> Vec<PresenceEntry> {
        let pages = self.pages();
        let here = pages.here.get(channel).into_iter().flatten();
        let entries = here.map(|(&connection, member)| PresenceEntry {
            connection,
            member: member.clone(),
        });
        entries.collect()
    }

    /// A connection, if it is here.
    pub(super) fn entry(
        &self,
        channel: &ChannelName,
        connection: ConnectionId,
    ) -> Option<PresenceEntry> {
        let pages = self.pages();
        let member = pages.here.get(channel)?.get(&connection)?.clone();
        Some(PresenceEntry { connection, member })
    }

    /// The server has to be told of everybody again.
    pub(super) fn note_loss(&self) {
        let mut pages = self.pages();
        pages.known_to = None;
        pages.lost_lease = Some(Instant::now());
    }

    /// The lease could not be renewed. Whether the server has kept it is not known.
    pub(super) fn note_unrenewed(&self) {
        self.pages().lost_lease = Some(Instant::now());
    }

    /// Whether the lease was renewed all this time.
    pub(super) fn has_had_lease_for(&self, time: Duration) -> bool {
        let lost = self.pages().lost_lease;
        lost.is_none_or(|lost| lost.elapsed() >= time)
    }

    /// Whether this server process was told of everybody who is here.
    pub(super) fn is_known_to(&self, process: Option<&String>) -> bool {
        process.is_some() && self.pages().known_to.as_ref() == process
    }

    /// This server process was told of everybody who is here.
    pub(super) fn note_known_to(&self, process: Option<String>) {
        self.pages().known_to = process;
    }

    /// Whether a member is here.
    pub(super) fn has_member(&self, channel: &ChannelName, id: &str) -> bool {
        let pages = self.pages();
        let here = pages.here.get(channel);
        here.is_some_and(|here| here.values().any(|member| member.id == id))
    }

    /// Whether anybody is in the channel through this node.
    pub(super) fn has_any(&self, channel: &ChannelName) -> bool {
        self.pages().here.contains_key(channel)
    }

    /// The channels with members of this node.
    pub(super) fn channels(&self) -> Vec<ChannelName> {
        self.pages().here.keys().cloned().collect()
    }

    /// How many connections are here.
    pub(super) fn len(&self) -> usize {
        self.pages().here.values().map(HashMap::len).sum()
    }

    /// The channel's members have to be looked at after this time.
    pub(super) fn look_after(&self, channel: &ChannelName, time: Duration) {
        let at = Instant::now() + time;
        let mut pages = self.pages();
        let due = pages.due.entry(channel.clone()).or_insert(at);
        *due = at.min(*due);
        self.changed.notify_one();
    }

    /// Those channels that have to be looked at by then.
    pub(super) fn take_due(&self, till: Option<Instant>) -> Vec<ChannelName> {
        let mut pages = self.pages();
        let due = pages.due.iter();
        let due = due.filter(|(_, at)| till.is_none_or(|till| **at <= till));
        let due: Vec<_> = due.map(|(channel, _)| channel.clone()).collect();
        for channel in &due {
            pages.due.remove(channel);
        }
        due
    }

    /// Ready when some channel has to be looked at.
    pub(super) async fn until_due(&self) {
        loop {
            let next = self.pages().due.values().min().copied();
            match next {
                Some(at) if at <= Instant::now() => return,
                Some(at) => {
                    let changed = self.changed.notified();
                    let _ = tokio::time::timeout_at(at.into(), changed).await;
                }
                None => self.changed.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use widecast_protocol::Payload;

    use super::*;

    #[test]
    fn a_node_answers_for_a_channel_as_long_as_anybody_is_there() {
        let (book, room) = (RosterBook::default(), ChannelName::parse("room").unwrap());
        let entry = |connection| PresenceEntry {
            connection: ConnectionId(connection),
            member: Member {
                id: "ann".to_owned(),
                data: Payload::text("here"),
            },
        };
        // The attempt of the first fails, after the second has come.
        book.enter(&room, &entry(1));
        book.enter(&room, &entry(2));
        book.exit(&room, ConnectionId(1));
        assert!(!book.answers_for(&room), "nobody has told the server");
        book.note_answer(&room);
        assert!(book.answers_for(&room));
        book.exit(&room, ConnectionId(2));
        assert!(!book.answers_for(&room));
        book.note_answer(&room);
        assert!(!book.answers_for(&room), "nobody is there any more");
    }

    #[test]
    fn whoever_knows_the_generation_that_was_heard_need_not_tell_again() {
        let (book, room) = (RosterBook::default(), ChannelName::parse("room").unwrap());
        let entry = PresenceEntry {
            connection: ConnectionId(1),
            member: Member {
                id: "ann".to_owned(),
                data: Payload::text("here"),
            },
        };
        book.note_anew(&room, None);
        assert!(!book.take_anew(&room), "nobody is there");
        book.enter(&room, &entry);
        book.note_anew(&room, Some("1".to_owned()));
        assert!(!book.note_generation(&room, "1"));
        assert!(!book.take_anew(&room), "this node has begun it");
        book.note_anew(&room, Some("2".to_owned()));
        assert!(book.take_anew(&room));
        assert!(book.note_generation(&room, "2"));
        // What is known to be missing is not forgotten when something is heard.
        book.note_anew(&room, None);
        book.note_anew(&room, Some("2".to_owned()));
        assert!(book.take_anew(&room));
        assert!(!book.take_anew(&room));
        book.exit(&room, entry.connection);
        assert_eq!(
            book.generation(&room).as_deref(),
            Some("2"),
            "its exit is told in it"
        );
        book.forget_generation(&room);
        assert_eq!(book.generation(&room), None);
    }

    #[test]
    fn a_lease_that_was_not_renewed_was_not_there_all_the_time_and_the_server_still_knows_everybody()
     {
        let (book, hour) = (RosterBook::default(), Duration::from_hours(1));
        let process = "process".to_owned();
        book.note_known_to(Some(process.clone()));
        assert!(book.has_had_lease_for(hour));
        book.note_unrenewed();
        assert!(!book.has_had_lease_for(hour));
        assert!(book.has_had_lease_for(Duration::ZERO));
        assert!(book.is_known_to(Some(&process)));
        // A lease that is known to be lost took everybody along.
        book.note_loss();
        assert!(!book.is_known_to(Some(&process)));
    }
}
