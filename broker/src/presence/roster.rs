//! The members of one channel, and the grace time in which a member that lost its last connection is still here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use widecast_protocol::{Member, Members};

use super::entry::{ConnectionId, MemberQuery, PresenceChange, PresenceEntry};

/// The members of a channel. Who follows the changes it returns knows exactly [`Roster::members`].
#[derive(Debug, Default)]
pub struct Roster {
    members: BTreeMap<String, ListedMember>,
    /// Which member each connection shows itself as.
    connections: HashMap<ConnectionId, String>,
    /// Members in their grace time, in the order they lost their last connection. An entry counts only while its member
    /// is still gone since then.
    lingering: VecDeque<Lingering>,
    /// About how much memory the members take.
    bytes: u64,
}

/// About what a member takes besides its id and its data: its place in each of the tables.
const OVERHEAD_BYTES: usize = 384;

fn bytes_of(member: &Member) -> u64 {
    (OVERHEAD_BYTES + 2 * member.id.len() + member.data.weight_bytes()) as u64
}

#[derive(Debug)]
struct ListedMember {
    member: Member,
    connections: usize,
    gone_since: Option<Instant>,
}

#[derive(Debug)]
struct Lingering {
    id: String,
    since: Instant,
}

impl Roster {
    /// A connection shows itself: a change when its member was not here, or had other data. One that was here as another
    /// member is that no longer.
    pub fn enter(&mut self, entry: PresenceEntry, now: Instant) -> Option<PresenceChange> {
        let PresenceEntry { connection, member } = entry;
        let same = self.connections.get(&connection) == Some(&member.id);
        if !same {
            self.exit(connection, now);
            self.connections.insert(connection, member.id.clone());
        }
        let Some(present) = self.members.get_mut(&member.id) else {
            let present = ListedMember {
                member: member.clone(),
                connections: 1,
                gone_since: None,
            };
            self.bytes += bytes_of(&member);
            self.members.insert(member.id.clone(), present);
            return Some(PresenceChange::Joined(member));
        };
        present.gone_since = None;
        present.connections += usize::from(!same);
        if present.member == member {
            return None;
        }
        self.bytes = self.bytes + bytes_of(&member) - bytes_of(&present.member);
        present.member = member.clone();
        Some(PresenceChange::Changed(member))
    }

    /// A connection is gone. Its member stays for the grace time; [`Roster::expire`] tells when that is over.
    pub fn exit(&mut self, connection: ConnectionId, now: Instant) {
        let Some(id) = self.connections.remove(&connection) else {
            return;
        };
        let Some(present) = self.members.get_mut(&id) else {
            return;
        };
        present.connections -= 1;
        if present.connections == 0 {
            present.gone_since = Some(now);
            self.lingering.push_back(Lingering { id, since: now });
        }
    }

    /// Removes one member whose grace time is over. To be called until it returns `None`.
    pub fn expire(&mut self, now: Instant, grace: Duration) -> Option<PresenceChange> {
        self.skip_returned();
        let first = self.lingering.front()?;
        if now.saturating_duration_since(first.since) < grace {
            return None;
        }
        let first = self.lingering.pop_front()?;
        let gone = self.members.remove(&first.id)?;
        self.bytes -= bytes_of(&gone.member);
        Some(PresenceChange::Left(gone.member))
    }

    /// Since when the member that will leave first has been gone.
    pub fn gone_since(&mut self) -> Option<Instant> {
        self.skip_returned();
        self.lingering.front().map(|first| first.since)
    }

    /// Forgets those at the front of `lingering` that have come back.
    fn skip_returned(&mut self) {
        while let Some(first) = self.lingering.front() {
            let present = self.members.get(&first.id);
            if present.is_some_and(|present| present.gone_since == Some(first.since)) {
                break;
            }
            self.lingering.pop_front();
        }
    }

    /// Everybody, ordered by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|present| &present.member)
    }

    /// The members that are asked for, ordered by id.
    pub fn page(&self, query: &MemberQuery) -> Members {
        let start = match &query.after {
            Some(after) => Bound::Excluded(after.as_str()),
            None => Bound::Unbounded,
        };
        let mut rest = self
            .members
            .range::<str, _>((start, Bound::Unbounded))
            .peekable();
        let (mut members, mut bytes) = (Vec::new(), 0);
        while members.len() < query.limit
            && bytes < query.bytes
            && let Some((_, present)) = rest.next()
        {
            bytes += present.member.data.weight_bytes();
            members.push(present.member.clone());
        }
        let last = members.last().map(|member: &Member| member.id.clone());
        let next = last.filter(|_| rest.peek().is_some());
        Members { members, next }
    }

    /// About how much memory the members take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use widecast_protocol::Payload;

    const GRACE: Duration = Duration::from_secs(5);

    fn member(id: &str, data: &str) -> Member {
        Member {
            id: id.to_owned(),
            data: Payload::text(data),
        }
    }

    fn entry(connection: u64, id: &str, data: &str) -> PresenceEntry {
        PresenceEntry {
            connection: ConnectionId(connection),
            member: member(id, data),
        }
    }

    fn joined(id: &str, data: &str) -> PresenceChange {
        PresenceChange::Joined(member(id, data))
    }

    fn left(id: &str, data: &str) -> PresenceChange {
        PresenceChange::Left(member(id, data))
    }

    #[test]
    fn a_member_leaves_when_its_last_connection_is_gone_for_longer_than_the_grace_time() {
        let (mut roster, start) = (Roster::default(), Instant::now());
        assert_eq!(
            roster.enter(entry(1, "ann", ""), start),
            Some(joined("ann", ""))
        );
        assert_eq!(roster.enter(entry(2, "ann", ""), start), None);
        roster.exit(ConnectionId(1), start);
        assert_eq!(roster.expire(start + GRACE, GRACE), None);
        roster.exit(ConnectionId(2), start + GRACE);
        assert_eq!(roster.gone_since(), Some(start + GRACE));
        assert_eq!(roster.expire(start + GRACE, GRACE), None);
        assert_eq!(roster.len(), 1);
        assert_eq!(
            roster.expire(start + 2 * GRACE, GRACE),
            Some(left("ann", ""))
        );
        assert!(roster.is_empty());
    }

    #[test]
    fn a_quick_reconnect_is_neither_leave_nor_join() {
        let (mut roster, start) = (Roster::default(), Instant::now());
        roster.enter(entry(1, "ann", ""), start);
        roster.exit(ConnectionId(1), start);
        assert_eq!(roster.enter(entry(2, "ann", ""), start + GRACE / 2), None);
        assert_eq!(roster.expire(start + 2 * GRACE, GRACE), None);
        assert_eq!(roster.gone_since(), None);
    }

    #[test]
    fn gone_again_within_the_grace_time_counts_from_the_second_time() {
        let (mut roster, start) = (Roster::default(), Instant::now());
        roster.enter(entry(1, "ann", ""), start);
        roster.exit(ConnectionId(1), start);
        roster.enter(entry(2, "ann", ""), start + GRACE / 2);
        roster.exit(ConnectionId(2), start + GRACE / 2);
        assert_eq!(roster.expire(start + GRACE, GRACE), None);
        assert_eq!(
            roster.expire(start + 2 * GRACE, GRACE),
            Some(left("ann", ""))
        );
    }

    #[test]
    fn changed_data_is_told() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.enter(entry(1, "ann", "idle"), now);
        let change = roster.enter(entry(1, "ann", "typing"), now);
        assert_eq!(
            change,
            Some(PresenceChange::Changed(member("ann", "typing")))
        );
        roster.exit(ConnectionId(1), now);
        assert_eq!(
            roster.expire(now, Duration::ZERO),
            Some(left("ann", "typing"))
        );
    }

    #[test]
    fn a_connection_that_enters_as_another_member_is_no_longer_the_first() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.enter(entry(1, "guest", ""), now);
        assert_eq!(
            roster.enter(entry(1, "ann", ""), now),
            Some(joined("ann", ""))
        );
        assert_eq!(roster.expire(now + GRACE, GRACE), Some(left("guest", "")));
        assert_eq!(roster.expire(now + GRACE, GRACE), None);
        assert_eq!(roster.members().count(), 1);
    }

    #[test]
    fn pages_are_bounded_by_number_and_bytes_and_follow_each_other() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        for (number, id) in (1..).zip(["ann", "bob", "cid", "dan", "eve"]) {
            roster.enter(entry(number, id, "1234"), now);
        }
        let page = |after: Option<&str>, limit, bytes| {
            let after = after.map(str::to_owned);
            let page = roster.page(&MemberQuery {
                after,
                limit,
                bytes,
                watcher: None,
            });
            let ids: Vec<_> = page
                .members
                .iter()
                .map(|member| member.id.clone())
                .collect();
            (ids.join(" "), page.next)
        };
        let next = |id: &str| Some(id.to_owned());
        assert_eq!(page(None, 2, 99), ("ann bob".to_owned(), next("bob")));
        assert_eq!(page(Some("bob"), 9, 8), ("cid dan".to_owned(), next("dan")));
        assert_eq!(page(Some("bob"), 9, 9), ("cid dan eve".to_owned(), None));
        // One who has left since has its place all the same.
        assert_eq!(page(Some("boris"), 1, 1), ("cid".to_owned(), next("cid")));
        assert_eq!(page(Some("eve"), 9, 9), (String::new(), None));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter { connection: u64, id: u8, data: u8 },
        Exit { connection: u64 },
        Expire,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5_u64, 0..3_u8, 0..2_u8).prop_map(|(connection, id, data)| Step::Enter {
                connection,
                id,
                data
            }),
            (0..5_u64).prop_map(|connection| Step::Exit { connection }),
            Just(Step::Expire),
        ]
    }

    fn follow(known: &mut BTreeMap<String, Member>, change: PresenceChange) {
        match change {
            PresenceChange::Joined(member) => {
                assert_eq!(known.insert(member.id.clone(), member), None);
            }
            PresenceChange::Changed(member) => {
                let before = known.insert(member.id.clone(), member.clone());
                assert_ne!(before.expect("it was here"), member, "nothing new is told");
            }
            PresenceChange::Left(member) => {
                assert_eq!(known.remove(&member.id), Some(member));
            }
        }
    }

    proptest! {
        #[test]
        fn a_client_that_follows_the_changes_knows_the_members(
            steps in prop::collection::vec((0..4_u64, step()), 1..80)
        ) {
            let (mut roster, mut now) = (Roster::default(), Instant::now());
            let mut known = BTreeMap::new();
            let mut here: HashMap<u64, String> = HashMap::new();
            let mut last_seen: HashMap<String, Instant> = HashMap::new();
            for (seconds, step) in steps {
                now += Duration::from_secs(seconds);
                for id in here.values() {
                    last_seen.insert(id.clone(), now);
                }
                match step {
                    Step::Enter { connection, id, data } => {
                        let (id, data) = (id.to_string(), data.to_string());
                        let change = roster.enter(entry(connection, &id, &data), now);
                        if let Some(change) = change {
                            follow(&mut known, change);
                        }
                        last_seen.insert(id.clone(), now);
                        here.insert(connection, id);
                    }
                    Step::Exit { connection } => {
                        roster.exit(ConnectionId(connection), now);
                        here.remove(&connection);
                    }
                    Step::Expire => {
                        while let Some(change) = roster.expire(now, GRACE) {
                            follow(&mut known, change);
                        }
                        let mut expected: Vec<_> = last_seen
                            .iter()
                            .filter(|(id, seen)| {
                                here.values().any(|one| one == *id) || now - **seen < GRACE
                            })
                            .map(|(id, _)| id.clone())
                            .collect();
                        expected.sort_unstable();
                        let ids: Vec<_> = roster.members().map(|m| m.id.clone()).collect();
                        prop_assert_eq!(ids, expected);
                    }
                }
                prop_assert_eq!(roster.bytes(), roster.members().map(bytes_of).sum::<u64>());
                let members: Vec<_> = roster.members().cloned().collect();
                prop_assert_eq!(members, known.values().cloned().collect::<Vec<_>>());
            }
        }
    }
}
