use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use widecast_protocol::{Member, Payload};

use super::*;
use crate::engine::{ConnectionId, PresenceEntry};
use crate::metrics::Metrics;
use crate::presence::Roster;
use crate::registry::news::Pending;
use crate::registry::{CursorForm, FlushList, GapForm, OutboxForm};

fn outbox() -> Rc<Outbox> {
    let form = OutboxForm {
        wire: Wire::JsonNdjson,
        gap: GapForm::Noted,
        cursors: CursorForm::OfEach,
    };
    Outbox::new(
        FlushList::new(Metrics::new().deliveries),
        1 << 20,
        form,
        ConnectionId(1),
    )
}

fn room() -> ChannelName {
    ChannelName::parse("room").unwrap()
}

fn member(id: &str, data: &str) -> Member {
    Member {
        id: id.to_owned(),
        data: Payload::text(data),
    }
}

use PresenceChange::{Changed, Joined, Left};

/// The changes, numbered from this on.
fn numbered(from: u64, changes: impl IntoIterator<Item = PresenceChange>) -> Vec<NumberedChange> {
    (from..)
        .zip(changes)
        .map(|(number, change)| NumberedChange { number, change })
        .collect()
}

/// The frames that wait, as `+id=data` and `-id`.
fn told(outbox: &Outbox) -> Vec<String> {
    let shown = |bytes: &Bytes| {
        let frame: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        let member = &frame["member"];
        let id = member["id"].as_str().unwrap();
        match frame["type"].as_str() {
            Some("join") => format!("+{id}={}", member["data"].as_str().unwrap()),
            Some("leave") => format!("-{id}"),
            other => panic!("{other:?}"),
        }
    };
    outbox.take().iter().map(shown).collect()
}

fn hear(watch: &mut PresenceWatch, changes: &[NumberedChange], outbox: &Rc<Outbox>) -> Vec<String> {
    watch.tell(&mut News::new(&room(), changes), outbox);
    told(outbox)
}

fn begun(outbox: &Rc<Outbox>) -> PresenceWatch {
    let mut watch = PresenceWatch::new(Wire::JsonNdjson, "me".to_owned());
    watch.begin(0, &room(), outbox);
    watch
}

#[test]
fn changes_that_are_in_the_list_are_not_told_whether_they_come_before_or_after_it() {
    let outbox = outbox();
    let mut watch = PresenceWatch::new(Wire::JsonNdjson, "me".to_owned());
    let joined = |number, id| numbered(number, [Joined(member(id, "x"))]);
    for (number, id) in [(1, "ann"), (3, "bob"), (4, "me")] {
        assert!(hear(&mut watch, &joined(number, id), &outbox).is_empty());
    }
    watch.begin(2, &room(), &outbox);
    assert_eq!(told(&outbox), ["+bob=x"]);
    assert!(hear(&mut watch, &joined(2, "cid"), &outbox).is_empty());
    assert_eq!(hear(&mut watch, &joined(5, "dan"), &outbox), ["+dan=x"]);
}

#[test]
fn of_several_changes_of_a_member_one_is_told_at_the_most() {
    let (a, b) = (|| member("ann", "a"), || member("ann", "b"));
    for (changes, expected) in [
        (vec![Joined(a()), Left(a())], vec![]),
        (vec![Joined(a()), Changed(b())], vec!["+ann=b"]),
        (vec![Joined(a()), Left(a()), Joined(b())], vec!["+ann=b"]),
        (vec![Joined(a()), Changed(b()), Left(b())], vec![]),
        (vec![Changed(a()), Changed(b())], vec!["+ann=b"]),
        (vec![Changed(a()), Left(a())], vec!["-ann"]),
        (vec![Left(a()), Joined(a())], vec![]),
        (vec![Left(a()), Joined(b())], vec!["+ann=b"]),
        (vec![Left(a()), Joined(b()), Left(b())], vec!["-ann"]),
    ] {
        let outbox = outbox();
        let changes = numbered(1, changes);
        let heard = hear(&mut begun(&outbox), &changes, &outbox);
        assert_eq!(heard, expected, "{changes:?}");
    }
}

#[test]
fn members_are_told_in_the_order_of_their_last_changes() {
    let outbox = outbox();
    let changes = [
        Joined(member("ann", "a")),
        Joined(member("bob", "a")),
        Left(member("cid", "a")),
        Changed(member("ann", "b")),
    ];
    let heard = hear(&mut begun(&outbox), &numbered(1, changes), &outbox);
    assert_eq!(heard, ["+bob=a", "-cid", "+ann=b"]);
}

#[test]
fn a_list_from_the_midst_of_what_is_told_together_is_gone_on_from() {
    let outbox = outbox();
    let mut watch = PresenceWatch::new(Wire::JsonNdjson, "me".to_owned());
    let ann = || member("ann", "a");
    // The list of after the first change has her.
    watch.begin(1, &room(), &outbox);
    let changes = numbered(1, [Joined(ann()), Left(ann())]);
    assert_eq!(hear(&mut watch, &changes, &outbox), ["-ann"]);
    // A page may show her, which does not say that the session knows all the rest.
    watch.shows_page(3);
    let changes = numbered(3, [Joined(ann()), Left(ann()), Joined(ann()), Left(ann())]);
    assert_eq!(hear(&mut watch, &changes, &outbox), ["+ann=a", "-ann"]);
}

/// A client that follows the frames, and makes sure that none tells the end of something that it did not know of.
#[derive(Default)]
struct Follower {
    list: BTreeMap<String, String>,
}

impl Follower {
    fn follow(&mut self, frames: Vec<String>) {
        for frame in frames {
            if let Some(id) = frame.strip_prefix('-') {
                assert!(self.list.remove(id).is_some(), "{frame} of nobody");
            } else {
                let (id, data) = frame[1..].split_once('=').unwrap();
                // Of data that was changed and changed back it is told once more.
                self.list.insert(id.to_owned(), data.to_owned());
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter {
        connection: u64,
        id: u8,
        data: u8,
    },
    Exit {
        connection: u64,
    },
    /// The watchers are told what waits.
    Tell,
    /// A watcher asks for the list, and is given it this many steps later.
    Begin {
        later: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let enter = (0..4_u64, 0..3_u8, 0..2_u8);
    prop_oneof![
        4 => enter.prop_map(|(connection, id, data)| Step::Enter { connection, id, data }),
        4 => (0..4_u64).prop_map(|connection| Step::Exit { connection }),
        2 => Just(Step::Tell),
        1 => (0..6_usize).prop_map(|later| Step::Begin { later }),
    ]
}

/// A channel whose members have no grace time, and its watchers.
struct Room {
    roster: Roster,
    now: Instant,
    changes: u64,
    pending: Pending,
    watchers: Vec<(PresenceWatch, Rc<Outbox>, Follower)>,
    /// Lists on their way: whose, when they come, how many changes they have, and who was here.
    lists: Vec<(usize, usize, u64, BTreeMap<String, String>)>,
}

impl Room {
    fn members(&self) -> BTreeMap<String, String> {
        let text = |data: &Payload| data.as_text().unwrap().to_owned();
        let shown = |member: &Member| (member.id.clone(), text(&member.data));
        self.roster.members().map(shown).collect()
    }

    fn changed(&mut self, change: Option<PresenceChange>) {
        if let Some(change) = change {
            self.changes += 1;
            let number = self.changes;
            self.pending.add(NumberedChange { number, change });
        }
    }

    fn tell(&mut self) {
        let changes = self.pending.take();
        let room = room();
        let mut news = News::new(&room, &changes);
        for (watch, outbox, follower) in &mut self.watchers {
            watch.tell(&mut news, outbox);
            follower.follow(told(outbox));
        }
    }

    fn deliver_lists(&mut self, step: usize) {
        let (due, later) = std::mem::take(&mut self.lists)
            .into_iter()
            .partition(|(_, at, _, _)| *at <= step);
        self.lists = later;
        for (whose, _, changes, list) in due {
            let (watch, outbox, follower) = &mut self.watchers[whose];
            follower.list = list;
            watch.begin(changes, &room(), outbox);
            follower.follow(told(outbox));
        }
    }

    fn act(&mut self, at: usize, step: Step) {
        match step {
            Step::Enter {
                connection,
                id,
                data,
            } => {
                let entry = PresenceEntry {
                    connection: ConnectionId(connection),
                    member: member(&id.to_string(), &data.to_string()),
                };
                let change = self.roster.enter(entry, self.now);
                self.changed(change);
            }
            Step::Exit { connection } => self.roster.exit(ConnectionId(connection), self.now),
            Step::Tell => self.tell(),
            Step::Begin { later } => {
                let outbox = outbox();
                let watch = PresenceWatch::new(Wire::JsonNdjson, "me".to_owned());
                self.watchers.push((watch, outbox, Follower::default()));
                let whose = self.watchers.len() - 1;
                self.lists
                    .push((whose, at + later, self.changes, self.members()));
            }
        }
        while let Some(change) = self.roster.expire(self.now, Duration::ZERO) {
            self.changed(Some(change));
        }
    }
}

proptest! {
    /// Whatever is told together, and wherever a list comes from: in the end each knows who is here, and nobody was told the end of
    /// something that it did not know of.
    #[test]
    fn whoever_follows_list_and_news_knows_who_is_here(steps in prop::collection::vec(step(), 1..100)) {
        let mut room = Room {
            roster: Roster::default(),
            now: Instant::now(),
            changes: 0,
            pending: Pending::default(),
            watchers: Vec::new(),
            lists: Vec::new(),
        };
        room.act(0, Step::Begin { later: 0 });
        for (at, step) in steps.into_iter().enumerate() {
            room.deliver_lists(at);
            room.act(at, step);
        }
        room.deliver_lists(usize::MAX);
        room.tell();
        let members = room.members();
        for (_, _, follower) in &room.watchers {
            prop_assert_eq!(&follower.list, &members);
        }
    }
}
