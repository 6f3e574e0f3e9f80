use std::rc::Rc;

use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{Epoch, Offset};

use super::*;
use crate::registry::testing::message;
use crate::registry::{Cursors, FlushList, GapForm, Outbox, Voice};

fn subscriber(sender: Option<widecast_protocol::SenderKey>) -> (Rc<Outbox>, Subscriber) {
    let list = FlushList::new(Metrics::new().deliveries);
    let voice = Voice {
        wire: Wire::RawSse,
        gap: GapForm::Told,
        cursors: Cursors::OfEach,
    };
    let outbox = Outbox::new(list, 1 << 20, voice);
    let subscriber = Subscriber {
        outbox: Rc::clone(&outbox),
        sender,
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
            None => text.lines().next().unwrap_or_default().to_owned(),
        }
    };
    outbox.take().iter().map(line).collect()
}

fn behind(key: usize) -> Behind {
    let channel = message("a", 1).message().channel.clone();
    Behind { channel, key }
}

/// Begins a subscription before which there is nothing.
fn begin(fanout: &mut Fanout, key: usize, start: Position) {
    fanout.begin(&behind(key), start, true);
}

/// Gives a subscription that is behind what the history has up to an offset.
fn read(fanout: &mut Fanout, key: usize, outbox: &Rc<Outbox>, newest: u64) -> Turn {
    let Some(since) = fanout.begin_reading(key, outbox) else {
        return Turn::Over;
    };
    let replay = replay(newest, true, since.offset.0 + 1..newest + 1);
    fanout.send_past(&behind(key), outbox, (since, &replay), &Metrics::new())
}

fn replay(position: u64, recovered: bool, offsets: std::ops::Range<u64>) -> Replay {
    Replay {
        messages: offsets.map(|offset| message("a", offset)).collect(),
        recovered,
        position: at(position),
        complete: true,
    }
}

#[test]
fn what_comes_before_a_subscription_begins_is_heard_once() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    for offset in 4..=6 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    assert!(heard(&outbox).is_empty());
    begin(&mut fanout, key, at(5));
    fanout.arrived(&message("a", 7), &metrics);
    assert_eq!(heard(&outbox), ["6", "7"]);
}

#[test]
fn a_subscriber_ahead_of_its_shard_hears_nothing_twice() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (first, subscriber_1) = subscriber(None);
    let key = fanout.join(subscriber_1);
    begin(&mut fanout, key, at(5));
    let (second, subscriber_2) = subscriber(None);
    let key = fanout.join(subscriber_2);
    begin(&mut fanout, key, at(7));
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
    begin(&mut fanout, key, at(1));
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
    begin(&mut fanout, key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 9), &metrics),
        Next::Fill(at(1))
    );
    let channel = message("a", 1).message().channel.clone();
    fanout.fill(&channel, &replay(9, false, 0..0), &metrics);
    fanout.arrived(&message("a", 10), &metrics);
    assert_eq!(heard(&outbox), ["id: 1-9", "10"]);
}

#[test]
fn whoever_is_still_catching_up_when_something_is_missing_reads_the_history_again() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.arrived(&message("a", 2), &metrics);
    assert_eq!(fanout.doubt(), Next::Fill(at(2)));
    begin(&mut fanout, key, at(1));
    fanout.fill(&behind(key).channel, &replay(4, true, 3..5), &metrics);
    assert_eq!(read(&mut fanout, key, &outbox, 4), Turn::Over);
    fanout.arrived(&message("a", 5), &metrics);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5"]);
}

#[test]
fn a_message_that_came_twice_is_heard_once() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    begin(&mut fanout, key, at(1));
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
    begin(&mut fanout, key, at(5));
    assert_eq!(fanout.place(key), Some(at(5)));
    fanout.arrived(&message("a", 6), &metrics);
    assert_eq!(fanout.place(key), Some(at(6)));
}

#[test]
fn what_waits_for_a_subscriber_that_catches_up_is_bounded_even_when_the_messages_are_empty() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    for offset in 1..=10_000 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    begin(&mut fanout, key, at(0));
    assert!(heard(&outbox).is_empty());
    assert_eq!(fanout.begin_reading(key, &outbox), Some(at(0)));
}

#[test]
fn what_is_lost_while_a_hole_is_being_filled_is_read_too() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    begin(&mut fanout, key, at(1));
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
    begin(&mut fanout, key, at(1));
    fanout.arrived(&message("a", 3), &metrics);
    fanout.arrived(&message("a", 5), &metrics);
    let channel = message("a", 1).message().channel.clone();
    let next = fanout.fill(&channel, &replay(3, true, 2..4), &metrics);
    assert_eq!(next, Next::Fill(at(3)));
    fanout.fill(&channel, &replay(5, true, 4..6), &metrics);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5"]);
}

#[test]
fn a_hole_larger_than_a_portion_is_filled_before_what_came_meanwhile() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    begin(&mut fanout, key, at(1));
    fanout.arrived(&message("a", 6), &metrics);
    let channel = message("a", 1).message().channel.clone();
    let portion = Replay {
        complete: false,
        ..replay(3, true, 2..4)
    };
    let next = fanout.fill(&channel, &portion, &metrics);
    assert_eq!(next, Next::Fill(at(3)));
    let next = fanout.fill(&channel, &replay(5, true, 4..6), &metrics);
    assert_eq!(next, Next::Nothing);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5", "6"]);
}

/// An outbox that has room for one message.
fn narrow() -> (Rc<Outbox>, Subscriber) {
    let (_, subscriber) = subscriber(None);
    let list = FlushList::new(Metrics::new().deliveries);
    let voice = Voice {
        wire: Wire::RawSse,
        gap: GapForm::Told,
        cursors: Cursors::OfEach,
    };
    let outbox = Outbox::new(list, 100, voice);
    let narrow = Rc::clone(&outbox);
    (
        outbox,
        Subscriber {
            outbox: narrow,
            ..subscriber
        },
    )
}

#[test]
fn one_whose_outbox_is_full_reads_on_in_the_history_and_then_hears_what_comes() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = narrow();
    let key = fanout.join(subscriber);
    begin(&mut fanout, key, at(1));
    for offset in 2..=5 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    assert_eq!(fanout.place(key), Some(at(2)));
    assert_eq!(heard(&outbox), ["2"]);
    assert_eq!(read(&mut fanout, key, &outbox, 5), Turn::Again);
    assert_eq!(heard(&outbox), ["3"]);
    fanout.arrived(&message("a", 6), &metrics);
    assert_eq!(read(&mut fanout, key, &outbox, 4), Turn::Again);
    assert_eq!(heard(&outbox), ["4"]);
    assert_eq!(read(&mut fanout, key, &outbox, 6), Turn::Again);
    assert_eq!(heard(&outbox), ["5"]);
    assert_eq!(read(&mut fanout, key, &outbox, 6), Turn::Over);
    assert_eq!(heard(&outbox), ["6"]);
    fanout.arrived(&message("a", 7), &metrics);
    assert_eq!(heard(&outbox), ["7"]);
    assert!(outbox.is_open());
}

#[test]
fn one_that_is_too_slow_for_the_history_is_disconnected() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = narrow();
    let key = fanout.join(subscriber);
    begin(&mut fanout, key, at(1));
    for offset in 2..=5 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    outbox.take();
    let lost = replay(5, false, 0..0);
    let turn = fanout.send_past(&behind(key), &outbox, (at(2), &lost), &metrics);
    assert_eq!(turn, Turn::Over);
    assert_eq!(outbox.closed(), Some(Code::SlowConsumer));
}

#[test]
fn one_that_resumes_is_told_when_the_history_is_gone_before_it_was_sent() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber) = subscriber(None);
    let key = fanout.join(subscriber);
    fanout.begin(&behind(key), at(1), false);
    let lost = replay(5, false, 0..0);
    let turn = fanout.send_past(&behind(key), &outbox, (at(1), &lost), &metrics);
    assert_eq!(turn, Turn::Again);
    assert_eq!(read(&mut fanout, key, &outbox, 5), Turn::Over);
    fanout.arrived(&message("a", 6), &metrics);
    assert_eq!(heard(&outbox), ["id: 1-5", "6"]);
}

#[test]
fn a_portion_of_another_place_or_another_session_is_not_sent() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, subscriber_1) = subscriber(None);
    let (other, _) = subscriber(None);
    let key = fanout.join(subscriber_1);
    fanout.begin(&behind(key), at(3), false);
    let portion = replay(5, true, 2..6);
    for (outbox, since) in [(&outbox, at(1)), (&other, at(3))] {
        let turn = fanout.send_past(&behind(key), outbox, (since, &portion), &metrics);
        assert_eq!(turn, Turn::Over);
    }
    assert!(heard(&outbox).is_empty());
    assert_eq!(fanout.place(key), Some(at(3)));
}
