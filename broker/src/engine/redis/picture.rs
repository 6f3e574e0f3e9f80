//! Who is in a channel, as the watchers on this node have been told.
//!
//! While a node is cut off, nobody tells it who comes and goes. Afterwards it reads the list, and this says by which changes the list
//! differs from what the watchers know.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use widecast_protocol::{Member, Members, Payload};

use crate::engine::{MemberList, MemberQuery, NumberedChange, PresenceChange};

/// What the watchers of a channel know.
#[derive(Debug)]
pub(super) struct Picture {
    /// The data of each member by its id; nothing before the list was read for the first time.
    members: Option<BTreeMap<String, Payload>>,
    /// The number of the newest change in it.
    newest: u64,
    /// When the list is to be read, if it is.
    due: Option<Instant>,
    /// What was heard while the list is being read.
    held: Option<Vec<NumberedChange>>,
}

impl Picture {
    /// One whose list is still to be read. Until then the watchers are told all that is heard.
    pub(super) fn new() -> Self {
        Self {
            members: None,
            newest: 0,
            due: Some(Instant::now()),
            held: Some(Vec::new()),
        }
    }

    /// The list is to be read, but not before this time.
    pub(super) fn doubt(&mut self, due: Instant) {
        self.due = self.due.max(Some(due));
    }

    /// When the list is to be read, if it is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The number of the newest change that the watchers know of.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The data that a member shows, as the watchers know it.
    pub(super) fn data_of(&self, id: &str) -> Option<&Payload> {
        self.members.as_ref()?.get(id)
    }

    /// A page of the members as the watchers know them, instead of a list of after so many changes, if that is another: changes may be on
    /// their way, or lost, and a server that has taken over may not know the newest. Whoever is shown this page is told the difference
    /// together with the watchers. Those who are `here` on this node are on it in any case; for a watcher only itself is, since it is told of
    /// the others.
    pub(super) fn page_instead(
        &self,
        changes: u64,
        query: &MemberQuery,
        here: impl FnOnce() -> Vec<Member>,
    ) -> Option<MemberList> {
        let members = self.members.as_ref()?;
        if self.due.is_none() && self.held.is_none() && changes == self.newest {
            return None;
        }
        let here = here();
        let behind = |id: &str| query.after.as_deref().is_none_or(|after| id > after);
        let mut newest = self.newest;
        // What differs from the members that are known: the data of those who are on the page, nothing for the others.
        let mut differing: BTreeMap<&str, Option<&Payload>> = BTreeMap::new();
        let is_told = |id: &String| query.watcher.as_ref().is_some_and(|watcher| watcher != id);
        for member in &here {
            if !members.contains_key(&member.id) && !is_told(&member.id) {
                differing.insert(&member.id, Some(&member.data));
            }
        }
        for held in self.held.iter().flatten() {
            newest = newest.max(held.number);
            let member = held.change.member();
            let is_here = !matches!(held.change, PresenceChange::Left(_));
            differing.insert(&member.id, is_here.then_some(&member.data));
        }
        let after = query
            .after
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let known = members.range::<str, _>((after, Bound::Unbounded));
        let known = known.map(|(id, data)| (id.as_str(), data));
        let known = known.filter(|(id, _)| !differing.contains_key(id));
        // One more than the page has, to see whether there are more.
        let mut members: BTreeMap<_, _> = known.take(query.limit.saturating_add(1)).collect();
        let differing = differing.iter().filter(|(id, _)| behind(id));
        members.extend(differing.filter_map(|(id, data)| Some((*id, (*data)?))));
        let mut list = Members::default();
        let mut bytes = 0;
        for (id, data) in members {
            if list.members.len() >= query.limit || bytes >= query.bytes {
                list.next = list.members.last().map(|last| last.id.clone());
                break;
            }
            bytes += data.size_bytes();
            list.members.push(Member {
                id: id.to_owned(),
                data: data.clone(),
            });
        }
        Some(MemberList {
            list,
            changes: newest,
        })
    }

    /// From now on the list is being read: what is heard waits for it.
    pub(super) fn begin_reading(&mut self) {
        self.held.get_or_insert_default();
    }

    /// The list could not be read, and is to be read later. Returns what is to be told all the same.
    pub(super) fn give_up_reading(&mut self) -> Vec<NumberedChange> {
        match self.members {
            Some(_) => self.take_held(),
            None => Vec::new(),
        }
    }

    /// A change was heard. Returns it if it is to be told: it may be known, or wait.
    pub(super) fn hear(&mut self, change: NumberedChange) -> Option<NumberedChange> {
        let Some(held) = &mut self.held else {
            return self.learn(change);
        };
        held.push(change.clone());
        // Nobody knows yet what the watchers know.
        self.members.is_none().then_some(change)
    }

    /// The list was read, of after so many changes. Returns what is to be told, in its order. Those for whom `is_here` are here, even
    /// when the list lacks them: the server is only about to be told so.
    pub(super) fn read(
        &mut self,
        list: Vec<Member>,
        changes: u64,
        is_here: impl Fn(&str) -> bool,
    ) -> Vec<NumberedChange> {
        self.due = None;
        let Some(known) = self.members.take() else {
            let members = list.into_iter().map(|member| (member.id, member.data));
            self.members = Some(members.collect());
            self.newest = changes;
            // It was told when it was heard.
            self.take_held();
            return Vec::new();
        };
        let mut told = self.compare(known, list, changes, is_here);
        told.extend(self.take_held());
        told
    }

    fn compare(
        &mut self,
        mut known: BTreeMap<String, Payload>,
        list: Vec<Member>,
        changes: u64,
        is_here: impl Fn(&str) -> bool,
    ) -> Vec<NumberedChange> {
        let mut members = BTreeMap::new();
        let mut come = Vec::new();
        for member in list {
            match known.remove(&member.id) {
                Some(data) if data == member.data => {}
                Some(_) => come.push(PresenceChange::Changed(member.clone())),
                None => come.push(PresenceChange::Joined(member.clone())),
            }
            members.insert(member.id, member.data);
        }
        let mut told = Vec::new();
        for (id, data) in known {
            if is_here(&id) {
                members.insert(id, data);
            } else {
                told.push(PresenceChange::Left(Member { id, data }));
            }
        }
        told.append(&mut come);
        self.members = Some(members);
        // Each of them has a number of its own below those of what comes later: at least so many changes were not heard. A server
        // that has forgotten everything counts from its clock again, which is higher.
        let before = changes.saturating_sub(told.len() as u64).max(self.newest);
        let numbered = told.into_iter().zip(before + 1..);
        let told: Vec<_> = numbered
            .map(|(change, number)| NumberedChange { number, change })
            .collect();
        self.newest = changes.max(before + told.len() as u64);
        told
    }

    fn take_held(&mut self) -> Vec<NumberedChange> {
        let held = self.held.take().unwrap_or_default();
        held.into_iter()
            .filter_map(|change| self.learn(change))
            .collect()
    }

    /// Takes a change into the picture. Returns what it is for the watchers, unless they know of it.
    fn learn(&mut self, heard: NumberedChange) -> Option<NumberedChange> {
        let NumberedChange { number, change } = heard;
        if number <= self.newest {
            return None;
        }
        self.newest = number;
        let Some(members) = &mut self.members else {
            return Some(NumberedChange { number, change });
        };
        let change = match change {
            PresenceChange::Joined(member) | PresenceChange::Changed(member) => {
                match members.insert(member.id.clone(), member.data.clone()) {
                    None => PresenceChange::Joined(member),
                    Some(data) if data == member.data => return None,
                    Some(_) => PresenceChange::Changed(member),
                }
            }
            PresenceChange::Left(member) => {
                members.remove(&member.id)?;
                PresenceChange::Left(member)
            }
        };
        Some(NumberedChange { number, change })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn member(id: u8, data: u8) -> Member {
        Member {
            id: id.to_string(),
            data: Payload::text(data.to_string()),
        }
    }

    /// What really happens to the members.
    #[derive(Debug, Default)]
    struct Truth {
        members: HashMap<u8, u8>,
        changes: u64,
    }

    impl Truth {
        /// A member shows itself with this data, or goes.
        fn happen(&mut self, id: u8, data: Option<u8>) -> Option<NumberedChange> {
            let before = self.members.get(&id).copied();
            let change = match (before, data) {
                (None, Some(data)) => PresenceChange::Joined(member(id, data)),
                (Some(before), Some(data)) if before != data => {
                    PresenceChange::Changed(member(id, data))
                }
                (Some(before), None) => PresenceChange::Left(member(id, before)),
                _ => return None,
            };
            match data {
                Some(data) => self.members.insert(id, data),
                None => self.members.remove(&id),
            };
            // As the server's clock has it: there is room between two of them.
            self.changes += 100;
            let number = self.changes;
            Some(NumberedChange { number, change })
        }

        fn list(&self) -> Vec<Member> {
            let members = self.members.iter();
            members.map(|(&id, &data)| member(id, data)).collect()
        }
    }

    /// A session that knows what it was told.
    #[derive(Debug, Default)]
    struct Watcher {
        members: HashMap<String, Payload>,
        newest: u64,
    }

    impl Watcher {
        fn tell(&mut self, changes: impl IntoIterator<Item = NumberedChange>) {
            for NumberedChange { number, change } in changes {
                assert!(number > self.newest, "the numbers go up");
                self.newest = number;
                match change {
                    PresenceChange::Joined(member) => {
                        let before = self.members.insert(member.id, member.data);
                        assert_eq!(before, None, "who joins was not here");
                    }
                    PresenceChange::Changed(member) => {
                        let before = self.members.insert(member.id, member.data.clone());
                        assert!(before.is_some_and(|before| before != member.data));
                    }
                    PresenceChange::Left(member) => {
                        assert!(self.members.remove(&member.id).is_some());
                    }
                }
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Happens {
            id: u8,
            data: Option<u8>,
            is_heard: bool,
        },
        /// The list is asked for, so many changes happen and are heard meanwhile, and it comes.
        Reads(Vec<(u8, Option<u8>)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let change = || (0..5_u8, proptest::option::of(0..3_u8));
        prop_oneof![
            4 => (change(), any::<bool>())
                .prop_map(|((id, data), is_heard)| Step::Happens { id, data, is_heard }),
            1 => vec(change(), 0..5).prop_map(Step::Reads),
        ]
    }

    proptest! {
        #[test]
        fn after_each_reading_the_watchers_know_who_is_here(steps in vec(step(), 0..60)) {
            let (mut truth, mut watcher) = (Truth::default(), Watcher::default());
            let mut picture = Picture::new();
            picture.read(Vec::new(), 0, |_| false);
            for step in steps {
                match step {
                    Step::Happens { id, data, is_heard } => {
                        let change = truth.happen(id, data).filter(|_| is_heard);
                        watcher.tell(change.and_then(|change| picture.hear(change)));
                    }
                    Step::Reads(meanwhile) => {
                        picture.begin_reading();
                        let (before, changes) = (truth.list(), truth.changes);
                        for (id, data) in meanwhile {
                            let told = truth.happen(id, data);
                            prop_assert_eq!(told.and_then(|change| picture.hear(change)), None);
                        }
                        watcher.tell(picture.read(before, changes, |_| false));
                        let here: HashMap<_, _> =
                            truth.list().into_iter().map(|one| (one.id, one.data)).collect();
                        prop_assert_eq!(&watcher.members, &here);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_shown_of_a_server_that_is_behind_is_what_the_watchers_know() {
        let mut picture = Picture::new();
        picture.read((1..=5).map(|id| member(id, 0)).collect(), 1000, |_| false);
        let mut query = MemberQuery {
            after: None,
            limit: 3,
            bytes: 1000,
            watcher: None,
        };
        assert_eq!(picture.page_instead(1000, &query, Vec::new), None);
        assert!(picture.page_instead(1001, &query, Vec::new).is_some());
        let here = vec![member(4, 1), member(6, 0)];
        picture.doubt(Instant::now());
        picture.begin_reading();
        let left = PresenceChange::Left(member(2, 0));
        picture.hear(NumberedChange {
            number: 1100,
            change: left,
        });
        let shown = picture.page_instead(900, &query, || here.clone()).unwrap();
        let ids = |shown: &MemberList| {
            let members = shown.list.members.iter();
            members.map(|member| member.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            (ids(&shown), shown.changes),
            (vec!["1".into(), "3".into(), "4".into()], 1100)
        );
        assert_eq!(shown.list.next.as_deref(), Some("4"));
        query.after = shown.list.next;
        let shown = picture.page_instead(900, &query, || here.clone()).unwrap();
        assert_eq!(
            (ids(&shown), shown.list.next),
            (vec!["5".into(), "6".into()], None)
        );
        // Who has just come, and is told of the others who have.
        for (watcher, expected) in [("6", &["5", "6"][..]), ("7", &["5"])] {
            query.watcher = Some(watcher.to_owned());
            let shown = picture.page_instead(900, &query, || here.clone()).unwrap();
            assert_eq!(ids(&shown), expected);
        }
    }

    #[test]
    fn a_server_that_has_forgotten_everybody_changes_nothing_for_those_who_come_back() {
        let mut picture = Picture::new();
        picture.read(vec![member(1, 0), member(2, 0), member(3, 0)], 1000, |_| {
            false
        });
        let again = NumberedChange {
            number: 5000,
            change: PresenceChange::Joined(member(2, 0)),
        };
        assert_eq!(picture.hear(again), None);
        picture.begin_reading();
        let told = picture.read(vec![member(2, 0)], 5000, |id| id == "3");
        let left = PresenceChange::Left(member(1, 0));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].change, left);
        assert!(told[0].number > 1000);
    }
}
