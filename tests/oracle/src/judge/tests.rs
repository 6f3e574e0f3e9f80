//! The oracle, tested with testimonies that are made up: one without fault, and one with each kind of violation.

use std::time::Duration;

use super::*;
use crate::catalog::{Ack, Outcome};
use crate::diary::Seen;
use crate::log::{Heard, Told};

const EPOCH: &str = "e1";

/// A publication that was accepted at the offset, by the sender.
fn record(id: &str, offset: u64, sender: Option<&str>) -> Record {
    Record {
        id: id.to_owned(),
        channel: "c".to_owned(),
        sender: sender.map(str::to_owned),
        keyed: true,
        bytes: 10,
        outcome: Outcome {
            attempts: vec!["lane".to_owned()],
            acks: vec![ack(offset, 1, false)],
            refusals: 0,
            open: 0,
        },
    }
}

fn ack(offset: u64, attempt: usize, duplicate: bool) -> Ack {
    Ack {
        place: Place::new(EPOCH, offset),
        duplicate,
        attempt,
    }
}

/// A publication whose answer was lost.
fn unanswered(id: &str) -> Record {
    let mut record = record(id, 1, None);
    record.outcome.acks.clear();
    record
}

fn heard(id: &str, offset: u64) -> Told {
    Told::Heard(Heard {
        id: id.to_owned(),
        channel: "c".to_owned(),
        place: Some(Place::new(EPOCH, offset)),
        at_most: false,
        differs: None,
    })
}

fn given(epoch: &str, offset: u64) -> Told {
    Told::Given {
        by: "subscribed",
        places: [("c".to_owned(), Place::new(epoch, offset))].into(),
    }
}

fn asked(epoch: &str, offset: u64) -> Told {
    Told::Asked {
        what: "again".to_owned(),
        from: Some([("c".to_owned(), Place::new(epoch, offset))].into()),
    }
}

fn gap(epoch: &str, offset: u64) -> Told {
    Told::Gap {
        channel: Some("c".to_owned()),
        upto: Some(Place::new(epoch, offset)),
        on_resume: true,
    }
}

/// A gap of which only the next cursor says how far it reaches.
fn open_gap(channel: Option<&str>) -> Told {
    Told::Gap {
        channel: channel.map(str::to_owned),
        upto: None,
        on_resume: true,
    }
}

/// Three messages: one by Ann, and two by others.
fn case(told: Vec<Told>) -> Case {
    let entries = told.into_iter().enumerate().map(|(second, told)| Entry {
        at: Duration::from_secs(second as u64),
        told,
    });
    Case {
        records: vec![
            record("p-1", 1, None),
            record("p-2", 2, Some("Ann")),
            record("p-3", 3, None),
        ],
        testimonies: vec![Testimony {
            name: "Bob".to_owned(),
            channels: vec!["c".to_owned()],
            entries: entries.collect(),
            ..Testimony::default()
        }],
        rules: [("c".to_owned(), rules(1))].into(),
        ends: [("c".to_owned(), Place::new(EPOCH, 3))].into(),
        ..Case::default()
    }
}

fn rules(history_messages: u64) -> ChannelRules {
    ChannelRules {
        history_messages,
        history_bytes: 1 << 20,
        drops: false,
        evicted: false,
    }
}

/// A subscriber that hears all three.
fn all() -> Vec<Told> {
    vec![
        given(EPOCH, 0),
        heard("p-1", 1),
        heard("p-2", 2),
        heard("p-3", 3),
    ]
}

fn kinds(case: &Case) -> Vec<Kind> {
    judge(case).iter().map(|violation| violation.kind).collect()
}

#[test]
fn whoever_hears_everything_has_no_complaint() {
    assert_eq!(kinds(&case(all())), []);
    let resumed = [all(), vec![asked(EPOCH, 3), given(EPOCH, 3)]].concat();
    assert_eq!(kinds(&case(resumed)), []);
}

#[test]
fn a_message_that_is_skipped_is_lost() {
    let told = vec![given(EPOCH, 0), heard("p-1", 1), heard("p-3", 3)];
    assert_eq!(kinds(&case(told)), [Kind::Lost]);
}

#[test]
fn a_message_that_is_skipped_is_not_lost_to_its_sender() {
    let mut case = case(vec![given(EPOCH, 0), heard("p-1", 1), heard("p-3", 3)]);
    case.testimonies[0].sender = Some("Ann".to_owned());
    assert_eq!(kinds(&case), []);
    case.testimonies[0].echo = true;
    assert_eq!(kinds(&case), [Kind::Lost]);
}

#[test]
fn a_message_of_unknown_place_is_lost_only_to_whom_it_cannot_be_own() {
    let mut case = case(vec![given(EPOCH, 0), heard("p-1", 1), heard("p-3", 3)]);
    case.records[1] = unanswered("p-2");
    assert_eq!(kinds(&case), [Kind::Lost]);
    case.records[1].sender = Some("Ann".to_owned());
    case.testimonies[0].sender = Some("Ann".to_owned());
    assert_eq!(kinds(&case), []);
}

#[test]
fn a_gap_that_is_told_covers_what_is_lost() {
    let told = vec![
        given(EPOCH, 0),
        asked(EPOCH, 0),
        gap(EPOCH, 2),
        heard("p-3", 3),
    ];
    assert_eq!(kinds(&case(told)), []);
    for channel in [Some("c"), None] {
        let told = vec![
            given(EPOCH, 0),
            open_gap(channel),
            given(EPOCH, 2),
            heard("p-3", 3),
        ];
        assert_eq!(kinds(&case(told)), []);
    }
}

#[test]
fn a_gap_is_needless_when_the_history_had_everything() {
    let told = [
        vec![gap(EPOCH, 2)],
        vec![open_gap(Some("c")), given(EPOCH, 2)],
        vec![open_gap(None), given(EPOCH, 2)],
    ];
    for gap in told {
        let told = [vec![given(EPOCH, 0)], gap, vec![heard("p-3", 3)]].concat();
        let mut case = case(told);
        case.rules.insert("c".to_owned(), rules(2));
        assert_eq!(kinds(&case), [Kind::NeedlessGap]);
        let rules = case.rules.get_mut("c").unwrap();
        rules.history_bytes = 100;
        assert_eq!(kinds(&case), []);
    }
}

/// An answer with a gap has the messages that came behind the gap, too.
#[test]
fn a_gap_is_judged_by_what_was_skipped_before_the_messages_behind_it() {
    for channel in [Some("c"), None] {
        let told = vec![
            given(EPOCH, 0),
            open_gap(channel),
            heard("p-3", 3),
            given(EPOCH, 3),
        ];
        let mut case = case(told);
        assert_eq!(kinds(&case), [], "a history of one message");
        case.rules.insert("c".to_owned(), rules(2));
        assert_eq!(kinds(&case), [Kind::NeedlessGap]);
        // It excuses nothing that comes later.
        let entries = &mut case.testimonies[0].entries;
        entries.truncate(1);
        let later = [
            open_gap(channel),
            heard("p-1", 1),
            given(EPOCH, 1),
            heard("p-3", 3),
        ];
        let at = Duration::ZERO;
        entries.extend(later.map(|told| Entry { at, told }));
        case.rules.insert("c".to_owned(), rules(1));
        let found = kinds(&case);
        assert_eq!(found, [Kind::NeedlessGap, Kind::Lost], "{channel:?}");
    }
}

#[test]
fn a_gap_may_cover_own_messages_alone() {
    let told = vec![
        given(EPOCH, 1),
        open_gap(Some("c")),
        heard("p-3", 3),
        given(EPOCH, 3),
    ];
    let mut case = case(told);
    case.testimonies[0].sender = Some("Ann".to_owned());
    case.rules.insert("c".to_owned(), rules(0));
    assert_eq!(kinds(&case), []);
    case.rules.insert("c".to_owned(), rules(1));
    assert_eq!(kinds(&case), [Kind::NeedlessGap]);
}

#[test]
fn a_gap_is_not_needless_when_the_history_was_evicted() {
    let mut case = case(vec![given(EPOCH, 2), gap(EPOCH, 3)]);
    assert_eq!(kinds(&case), [Kind::NeedlessGap]);
    for rules in case.rules.values_mut() {
        rules.evicted = true;
    }
    assert_eq!(kinds(&case), []);
}

#[test]
fn a_gap_of_a_slow_consumer_is_not_needless_where_messages_are_dropped() {
    let gap = Told::Gap {
        channel: Some("c".to_owned()),
        upto: Some(Place::new(EPOCH, 2)),
        on_resume: false,
    };
    let mut case = case(vec![given(EPOCH, 0), gap, heard("p-3", 3)]);
    case.rules.insert("c".to_owned(), rules(2));
    assert_eq!(kinds(&case), [Kind::NeedlessGap]);
    case.rules.get_mut("c").unwrap().drops = true;
    assert_eq!(kinds(&case), []);
}

#[test]
fn a_message_is_not_heard_again_nor_behind_a_later_one() {
    let again = vec![asked(EPOCH, 1), heard("p-2", 2), heard("p-3", 3)];
    let again = [all(), again].concat();
    assert_eq!(kinds(&case(again)), [Kind::Again, Kind::Again]);
    let swapped = vec![given(EPOCH, 1), heard("p-3", 3), heard("p-2", 2)];
    assert_eq!(kinds(&case(swapped)), [Kind::Lost, Kind::Again]);
}

#[test]
fn what_a_gap_covered_may_be_heard_by_who_resumes_before_it() {
    let told = vec![
        given(EPOCH, 0),
        gap(EPOCH, 2),
        asked(EPOCH, 0),
        heard("p-1", 1),
        heard("p-2", 2),
        heard("p-3", 3),
    ];
    assert_eq!(kinds(&case(told)), []);
}

#[test]
fn nobody_hears_what_has_the_own_key() {
    let mut case = case(all());
    case.testimonies[0].sender = Some("Ann".to_owned());
    assert_eq!(kinds(&case), [Kind::HeardOwn]);
    case.testimonies[0].echo = true;
    assert_eq!(kinds(&case), []);
}

#[test]
fn data_is_what_was_published() {
    let mut told = all();
    let Told::Heard(heard) = &mut told[1] else {
        panic!("a message")
    };
    heard.differs = Some("it is shorter".to_owned());
    assert_eq!(kinds(&case(told)), [Kind::Differs]);
}

#[test]
fn a_cursor_covers_only_what_was_told() {
    let told = vec![given(EPOCH, 0), heard("p-1", 1), given(EPOCH, 3)];
    assert_eq!(kinds(&case(told)), [Kind::CursorAhead]);
    // The gap that comes too late for who is cut in between is not needless as well.
    let late = vec![given(EPOCH, 1), given(EPOCH, 3), gap(EPOCH, 3)];
    let mut late = case(late);
    late.rules.insert("c".to_owned(), rules(9));
    assert_eq!(kinds(&late), [Kind::CursorAhead]);
    // A cursor of another epoch is a gap, too.
    let mut other = case(vec![given("e0", 3), given(EPOCH, 3)]);
    other.losses = 1;
    assert_eq!(kinds(&other), [Kind::CursorAhead]);
}

#[test]
fn a_cursor_may_cover_own_messages() {
    let told = vec![
        given(EPOCH, 0),
        heard("p-1", 1),
        given(EPOCH, 2),
        heard("p-3", 3),
    ];
    let mut case = case(told);
    case.testimonies[0].sender = Some("Ann".to_owned());
    assert_eq!(kinds(&case), []);
}

#[test]
fn the_cursor_of_a_message_may_cover_own_messages_behind_it() {
    let mut told = vec![
        given(EPOCH, 0),
        heard("p-1", 2),
        given(EPOCH, 2),
        heard("p-3", 3),
    ];
    let Told::Heard(first) = &mut told[1] else {
        panic!("a message")
    };
    first.at_most = true;
    let mut case = case(told);
    case.testimonies[0].sender = Some("Ann".to_owned());
    assert_eq!(kinds(&case), []);
    case.testimonies[0].sender = None;
    assert_eq!(kinds(&case), [Kind::CursorAhead]);
}

#[test]
fn a_cursor_is_not_behind_what_was_heard() {
    let told = [all(), vec![given(EPOCH, 2)]].concat();
    assert_eq!(kinds(&case(told)), [Kind::CursorBehind]);
    let told = [all(), vec![gap(EPOCH, 2)]].concat();
    assert_eq!(kinds(&case(told)), [Kind::CursorBehind]);
}

#[test]
fn everybody_comes_to_the_end() {
    let mut told = all();
    told.pop();
    assert_eq!(kinds(&case(told)), [Kind::NotCaughtUp]);
    assert_eq!(kinds(&case(Vec::new())), [Kind::NotCaughtUp]);
}

#[test]
fn nothing_is_heard_between_leaving_and_coming_back() {
    let left = Told::Left("c".to_owned());
    let told = vec![given(EPOCH, 0), left.clone(), heard("p-1", 1)];
    assert_eq!(kinds(&case(told)), [Kind::HeardAfterLeaving]);
    let back = vec![
        given(EPOCH, 1),
        left,
        given(EPOCH, 1),
        heard("p-2", 2),
        heard("p-3", 3),
    ];
    assert_eq!(kinds(&case(back)), []);
}

#[test]
fn a_place_has_one_message_and_a_message_one_place() {
    let mut two = case(all());
    two.records.push(record("p-4", 2, None));
    assert_eq!(kinds(&two), [Kind::TwoAtOnePlace]);
    let swapped = vec![
        given(EPOCH, 0),
        heard("p-1", 1),
        heard("p-2", 2),
        heard("p-1", 3),
    ];
    let mut swapped = case(swapped);
    swapped.records.pop();
    assert_eq!(kinds(&swapped), [Kind::PublishedTwice]);
}

#[test]
fn every_place_has_a_message() {
    let mut hole = case(vec![given(EPOCH, 2), heard("p-3", 3)]);
    hole.records.remove(1);
    assert_eq!(kinds(&hole), [Kind::Hole]);
    hole.records.push(unanswered("p-2"));
    assert_eq!(kinds(&hole), []);
}

#[test]
fn what_was_repeated_behind_a_restart_may_have_a_place_before_it() {
    let told = vec![
        given("e0", 0),
        heard("p-1", 2),
        gap(EPOCH, 2),
        heard("p-3", 3),
    ];
    let mut case = case(told);
    let Told::Heard(first) = &mut case.testimonies[0].entries[1].told else {
        panic!("a message")
    };
    first.place = Some(Place::new("e0", 2));
    case.losses = 1;
    let found = kinds(&case);
    assert_eq!(found, [Kind::Hole, Kind::Lost], "where is 1 of e0?");
    case.records[1].outcome.attempts.push("lane".to_owned());
    case.testimonies[0].sender = Some("Ann".to_owned());
    assert_eq!(kinds(&case), [], "perhaps it is the first attempt of p-2");
}

#[test]
fn a_key_is_known_again_and_no_other_is() {
    let mut repeated = case(all());
    let outcome = &mut repeated.records[0].outcome;
    outcome.attempts.push("lane".to_owned());
    outcome.acks.push(ack(1, 2, true));
    assert_eq!(kinds(&repeated), []);
    repeated.records[0].outcome.acks[1].duplicate = false;
    assert_eq!(kinds(&repeated), [Kind::WrongDuplicate]);
    repeated.records[0].outcome.acks = vec![ack(1, 1, true)];
    assert_eq!(kinds(&repeated), [Kind::WrongDuplicate]);
    let again = &mut repeated.records[0].outcome;
    again.acks = vec![ack(1, 1, false), ack(4, 2, false)];
    let found = kinds(&repeated);
    assert_eq!(found, [Kind::PublishedTwice, Kind::WrongDuplicate]);
}

#[test]
fn messages_of_one_sender_keep_their_order() {
    let mut case = case(vec![
        given(EPOCH, 0),
        heard("p-1", 1),
        heard("p-3", 2),
        heard("p-2", 3),
    ]);
    case.records[1].outcome.acks = vec![ack(3, 1, false)];
    case.records[2].outcome.acks = vec![ack(2, 1, false)];
    assert_eq!(kinds(&case), [Kind::OutOfOrder]);
    // What was repeated may have been published by either attempt.
    let retried = &mut case.records[1].outcome;
    retried.attempts.push("lane".to_owned());
    assert_eq!(kinds(&case), []);
}

#[test]
fn what_was_refused_is_not_heard() {
    let mut case = case(all());
    case.records[0].outcome.acks.clear();
    case.records[0].outcome.refusals = 1;
    assert_eq!(kinds(&case), [Kind::HeardRefused]);
}

#[test]
fn what_an_engine_did_not_answer_may_have_been_published_and_late() {
    let mut case = case(vec![
        given(EPOCH, 0),
        heard("p-1", 1),
        heard("p-3", 2),
        heard("p-2", 3),
    ]);
    for record in &mut case.records {
        record.outcome.attempts = vec!["lane#1".to_owned()];
        record.outcome.acks.clear();
    }
    assert_eq!(kinds(&case), [Kind::OutOfOrder]);
    case.records[1].outcome.open = 1;
    assert_eq!(kinds(&case), []);
}

#[test]
fn a_broker_that_repeats_may_call_the_first_attempt_a_duplicate() {
    let mut case = case(all());
    case.records[0].outcome.acks = vec![ack(1, 1, true)];
    assert_eq!(kinds(&case), [Kind::WrongDuplicate]);
    case.repeats = true;
    assert_eq!(kinds(&case), []);
}

#[test]
fn offsets_begin_anew_only_behind_a_restart() {
    let told = vec![given("e0", 0), gap(EPOCH, 0), heard("p-2", 1)];
    let mut case = case(told);
    case.records.pop();
    case.records[0].outcome.acks[0].place = Place::new("e0", 1);
    case.records[1].outcome.acks[0].place = Place::new(EPOCH, 1);
    case.ends.insert("c".to_owned(), Place::new(EPOCH, 1));
    assert_eq!(kinds(&case), [Kind::EpochChanged]);
    case.losses = 1;
    assert_eq!(kinds(&case), []);
    case.losses = 0;
    case.rules.insert("c".to_owned(), rules(0));
    assert_eq!(kinds(&case), []);
}

#[test]
fn what_the_protocol_does_not_have_is_strange() {
    let mut case = case([all(), vec![Told::Strange("what?".to_owned())]].concat());
    case.strange.push("to a publisher, too".to_owned());
    assert_eq!(kinds(&case), [Kind::Strange, Kind::Strange]);
}

#[test]
fn a_violation_says_where_it_shows() {
    let told = vec![given(EPOCH, 0), heard("p-1", 1), heard("p-3", 3)];
    let found = judge(&case(told));
    assert_eq!(found[0].shown_by, Some((0, 2)));
    assert_eq!(
        found[0].to_string(),
        "Lost: Bob: of c between e1-1 and e1-3: 2 (p-2)"
    );
}

/// What Ann was told, in a room where Bob is at the end, too.
fn room(seen: Vec<Seen>) -> Room {
    let pages = seen.into_iter().map(|seen| Page {
        at: Duration::ZERO,
        seen,
    });
    let watch = Watch {
        name: "Ann's connection".to_owned(),
        member: "Ann".to_owned(),
        stays: true,
        pages: pages.collect(),
    };
    let both = vec!["Ann".to_owned(), "Bob".to_owned()];
    Room {
        goes_back: false,
        watches: vec![watch],
        members: both.clone(),
        lists: vec![both],
    }
}

fn in_room(seen: Vec<Seen>) -> Vec<Kind> {
    kinds_in(room(seen))
}

fn kinds_in(room: Room) -> Vec<Kind> {
    kinds(&Case {
        room,
        ..Case::default()
    })
}

fn listed(names: &[&str]) -> Seen {
    let members = names.iter();
    let members = members.map(|name| (format!("id of {name}"), (*name).to_owned()));
    Seen::Listed(members.collect())
}

fn joined(name: &str) -> Seen {
    Seen::Joined {
        id: format!("id of {name}"),
        name: name.to_owned(),
    }
}

fn gone(name: &str) -> Seen {
    Seen::Left(format!("id of {name}"))
}

#[test]
fn a_member_that_knows_the_others_has_no_complaint() {
    assert_eq!(in_room(vec![listed(&["Ann", "Bob"])]), []);
    assert_eq!(in_room(vec![listed(&["Bob"])]), []);
    let told = vec![
        listed(&["Ann", "Cid"]),
        joined("Bob"),
        gone("Cid"),
        gone("Bob"),
        joined("Bob"),
    ];
    assert_eq!(in_room(told), []);
    let away = Seen::Away("cut".to_owned());
    assert_eq!(in_room(vec![listed(&["Cid"]), away, listed(&["Bob"])]), []);
}

#[test]
fn a_member_comes_once_and_goes_once() {
    let twice = vec![listed(&[]), joined("Bob"), joined("Bob")];
    assert_eq!(in_room(twice), [Kind::JoinedTwice]);
    let twice = vec![listed(&["Bob", "Cid"]), gone("Cid"), gone("Cid")];
    assert_eq!(in_room(twice), [Kind::LeftTwice]);
    let outside = vec![joined("Bob"), listed(&["Bob"])];
    assert_eq!(in_room(outside), [Kind::Strange]);
}

#[test]
fn at_the_end_nobody_is_missing_and_nobody_is_there_who_has_gone() {
    assert_eq!(in_room(vec![listed(&["Ann"])]), [Kind::WrongMembers]);
    let cid = vec![listed(&["Ann", "Bob", "Cid"])];
    assert_eq!(in_room(cid), [Kind::WrongMembers]);
    let away = vec![listed(&["Bob"]), Seen::Away("cut".to_owned())];
    assert_eq!(in_room(away), [Kind::WrongMembers]);
    let lists = Room {
        members: vec!["Ann".to_owned()],
        lists: vec![vec!["Ann".to_owned()], Vec::new()],
        ..Room::default()
    };
    assert_eq!(kinds_in(lists), [Kind::WrongMembers]);
}

#[test]
fn where_a_server_knows_less_than_before_the_end_is_true_all_the_same() {
    let goes_back = |seen| Room {
        goes_back: true,
        ..room(seen)
    };
    let twice = vec![listed(&["Bob"]), joined("Bob"), gone("Cid")];
    assert_eq!(kinds_in(goes_back(twice)), []);
    let wrong = vec![listed(&["Bob"]), joined("Cid")];
    assert_eq!(kinds_in(goes_back(wrong)), [Kind::WrongMembers]);
}
