use std::rc::Rc;

use widecast_protocol::{CursorVector, Epoch, Offset, WireForm};

use super::*;
use crate::registry::testing::message;
use crate::registry::{Cursors, FlushList, GapForm, Outbox, Voice};

fn tell(channel: &ChannelName, cursor: Position, _: &CursorVector) -> Bytes {
    format!("gap {channel} {}", cursor.offset).into()
}

fn subscriber(sender: Option<widecast_protocol::SenderKey>) -> (Rc<Outbox>, Subscriber) {
    let list = FlushList::new(Metrics::new().deliveries);
    let voice = Voice {
        gap: GapForm::Told(tell),
        cursors: Cursors::OfEach,
    };
    let outbox = Outbox::new(list, 1 << 20, voice);
    let subscriber = Subscriber {
        outbox: Rc::clone(&outbox),
        sender,
        form: WireForm::RawSse,
        lane: outbox.lane(),
        policy: SlowConsumer::Disconnect,
        presence: None,
    };
    (outbox, subscriber)
}

fn at(offset: u64) -> Position {
    Position {
        epoch: Epoch(1),
        offset: Offset(offset),
    }
}

/// The offsets and gaps that have come.
fn heard(outbox: &Outbox) -> Vec<String> {
    let line = |bytes: &Bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        match text.split_once("\ndata: a ") {
            Some((_, offset)) => offset.trim().to_owned(),
            None => text,
        }
    };
    outbox.take().iter().map(line).collect()
}

fn shown(caught_up: &CatchUp) -> String {
    match caught_up {
        CatchUp::Live => "live".to_owned(),
        CatchUp::Behind => "behind".to_owned(),
        CatchUp::More(more) => {
            let offsets: Vec<_> = more
                .iter()
                .map(|m| m.position().offset.to_string())
                .collect();
            format!("more: {}", offsets.join(" "))
        }
    }
}

fn replay(position: u64, recovered: bool, offsets: std::ops::Range<u64>) -> Replay {
    Replay {
        messages: offsets.map(|offset| message("a", offset)).collect(),
        recovered,
        position: at(position),
    }
}

#[test]
fn what_comes_while_the_history_is_sent_follows_it_once() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    for offset in 4..=6 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    assert!(heard(&outbox).is_empty());
    assert_eq!(shown(&fanout.go_live(key, at(5))), "more: 6");
    assert_eq!(shown(&fanout.go_live(key, at(6))), "live");
    assert!(heard(&outbox).is_empty());
    fanout.arrived(&message("a", 7), &metrics);
    assert_eq!(heard(&outbox), ["7"]);
}

#[test]
fn a_subscriber_ahead_of_its_shard_hears_nothing_twice() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (first, subscriber_1) = subscriber(None);
    let key = fanout.join(subscriber_1);
    fanout.go_live(key, at(5));
    let (second, subscriber_2) = subscriber(None);
    let key = fanout.join(subscriber_2);
    fanout.go_live(key, at(7));
    for offset in 6..=8 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    assert_eq!(heard(&first), ["6", "7", "8"]);
    assert_eq!(heard(&second), ["8"]);
}

#[test]
fn a_hole_is_filled_from_the_history_before_what_comes_after_it() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.go_live(key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 4), &metrics),
        Next::Fill(at(1))
    );
    assert_eq!(fanout.arrived(&message("a", 5), &metrics), Next::Nothing);
    assert!(heard(&outbox).is_empty());
    let channel = message("a", 1).message().channel.clone();
    let next = fanout.fill(&channel, &replay(4, true, 2..5), &metrics);
    assert_eq!(next, Next::Nothing);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5"]);
}

#[test]
fn a_hole_that_the_history_cannot_fill_is_told() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.go_live(key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 9), &metrics),
        Next::Fill(at(1))
    );
    let channel = message("a", 1).message().channel.clone();
    fanout.fill(&channel, &replay(9, false, 0..0), &metrics);
    fanout.arrived(&message("a", 10), &metrics);
    assert_eq!(heard(&outbox), ["gap a 9", "10"]);
}

#[test]
fn whoever_is_still_catching_up_when_something_is_missing_reads_the_history_again() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.arrived(&message("a", 2), &metrics);
    fanout.doubt();
    assert_eq!(shown(&fanout.go_live(key, at(1))), "behind");
    assert_eq!(shown(&fanout.go_live(key, at(4))), "live");
    assert!(heard(&outbox).is_empty());
}

#[test]
fn a_message_that_came_twice_is_heard_once() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.go_live(key, at(1));
    for offset in [2, 2, 1, 3] {
        assert_eq!(
            fanout.arrived(&message("a", offset), &metrics),
            Next::Nothing
        );
    }
    assert_eq!(heard(&outbox), ["2", "3"]);
}

#[test]
fn a_subscription_knows_how_far_it_is() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (_outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    assert_eq!(fanout.place(key), None);
    fanout.go_live(key, at(5));
    assert_eq!(fanout.place(key), Some(at(5)));
    fanout.arrived(&message("a", 6), &metrics);
    assert_eq!(fanout.place(key), Some(at(6)));
}

#[test]
fn what_waits_for_a_subscriber_that_catches_up_is_bounded_even_when_the_messages_are_empty() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (_outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    for offset in 1..=10_000 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    assert_eq!(shown(&fanout.go_live(key, at(0))), "behind");
}

#[test]
fn what_is_lost_while_a_hole_is_being_filled_is_read_too() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.go_live(key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 3), &metrics),
        Next::Fill(at(1))
    );
    // The history has been read up to 3; then 4 is lost, and nothing comes after it.
    assert_eq!(fanout.doubt(), Next::Nothing);
    let channel = message("a", 1).message().channel.clone();
    let next = fanout.fill(&channel, &replay(3, true, 2..4), &metrics);
    assert_eq!(next, Next::Fill(at(3)));
    let next = fanout.fill(&channel, &replay(4, true, 4..5), &metrics);
    assert_eq!(next, Next::Nothing);
    assert_eq!(heard(&outbox), ["2", "3", "4"]);
}

#[test]
fn a_second_hole_behind_the_first_is_filled_too() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.go_live(key, at(1));
    fanout.arrived(&message("a", 3), &metrics);
    fanout.arrived(&message("a", 5), &metrics);
    let channel = message("a", 1).message().channel.clone();
    let next = fanout.fill(&channel, &replay(3, true, 2..4), &metrics);
    assert_eq!(next, Next::Fill(at(3)));
    fanout.fill(&channel, &replay(5, true, 4..6), &metrics);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5"]);
}
