use std::rc::Rc;

use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{Epoch, Offset};

use super::*;
use crate::registry::testing::message;
use crate::registry::{CursorForm, FlushList, GapForm, Lane, Outbox, OutboxForm};

fn destination(sender: Option<widecast_protocol::SenderKey>) -> (Rc<Outbox>, Destination) {
    let list = FlushList::new(Metrics::new().deliveries);
    let form = OutboxForm {
        wire: Wire::RawSse,
        gap: GapForm::Told,
        cursors: CursorForm::OfEach,
    };
    let outbox = Outbox::new(list, 1 << 20, form, ConnectionId(1));
    let destination = Destination {
        outbox: Rc::clone(&outbox),
        sender,
        lane: outbox.lane(),
        policy: SlowConsumerPolicy::Disconnect,
        presence: None,
    };
    (outbox, destination)
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

/// A subscription that began in the first lane of its outbox.
fn behind(key: usize) -> Behind {
    Behind {
        channel: channel(),
        key,
        first_lane: Lane(0),
    }
}

fn channel() -> ChannelName {
    ChannelName::parse("a").unwrap()
}

/// Begins a subscription before which there is nothing.
fn begin(fanout: &mut Fanout, key: usize, start: Position) {
    fanout.begin(key, &channel(), start, true);
}

/// Gives a subscription that is behind what the history has up to an offset.
fn read(fanout: &mut Fanout, key: usize, outbox: &Rc<Outbox>, newest: u64) -> Turn {
    let Some(since) = fanout.begin_reading(&behind(key), outbox) else {
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
fn messages_that_come_before_a_subscription_begins_are_heard_once() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
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
    let (first, subscriber_1) = destination(None);
    let key = fanout.join(subscriber_1);
    begin(&mut fanout, key, at(5));
    let (second, subscriber_2) = destination(None);
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
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    begin(&mut fanout, key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 4), &metrics),
        Next::Fill(at(1))
    );
    assert_eq!(fanout.arrived(&message("a", 5), &metrics), Next::Nothing);
    assert!(heard(&outbox).is_empty());
    let next = fanout.fill(&channel(), (at(1), &replay(4, true, 2..5)), &metrics);
    assert_eq!(next, Next::Nothing);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5"]);
}

#[test]
fn a_hole_that_the_history_cannot_fill_is_told() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    begin(&mut fanout, key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 9), &metrics),
        Next::Fill(at(1))
    );
    fanout.fill(&channel(), (at(1), &replay(9, false, 0..0)), &metrics);
    fanout.arrived(&message("a", 10), &metrics);
    assert_eq!(heard(&outbox), ["id: 1-9", "10"]);
}

#[test]
fn whoever_began_while_a_hole_was_found_to_be_lost_reads_what_it_needs_itself() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (before, destination_1) = destination(None);
    let key = fanout.join(destination_1);
    begin(&mut fanout, key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 5), &metrics),
        Next::Fill(at(1))
    );
    let (later, destination_2) = destination(None);
    let key = fanout.join(destination_2);
    begin(&mut fanout, key, at(6));
    for offset in [7, 8] {
        fanout.arrived(&message("a", offset), &metrics);
    }
    let lost = replay(8, false, 0..0);
    fanout.fill(&channel(), (at(1), &lost), &metrics);
    assert_eq!(heard(&before), [format!("id: {}", at(8))]);
    assert!(
        heard(&later).is_empty(),
        "it needs only what is still there"
    );
    assert_eq!(read(&mut fanout, key, &later, 8), Turn::Over);
    fanout.arrived(&message("a", 9), &metrics);
    assert_eq!(heard(&later), ["7", "8", "9"]);
    assert_eq!(heard(&before), ["9"]);
}

#[test]
fn a_subscription_that_still_catches_up_when_a_message_is_missing_reads_the_history_again() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    fanout.arrived(&message("a", 2), &metrics);
    assert_eq!(fanout.suspect_gap(), Next::Fill(at(2)));
    begin(&mut fanout, key, at(1));
    fanout.fill(&channel(), (at(2), &replay(4, true, 3..5)), &metrics);
    assert_eq!(read(&mut fanout, key, &outbox, 4), Turn::Over);
    fanout.arrived(&message("a", 5), &metrics);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5"]);
}

#[test]
fn a_message_that_came_twice_is_heard_once() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
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
    let (_outbox, destination) = destination(None);
    let key = fanout.join(destination);
    assert_eq!(fanout.place(key), None);
    begin(&mut fanout, key, at(5));
    assert_eq!(fanout.place(key), Some(at(5)));
    fanout.arrived(&message("a", 6), &metrics);
    assert_eq!(fanout.place(key), Some(at(6)));
}

#[test]
fn the_messages_held_for_a_subscriber_are_bounded_even_when_they_are_empty() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    for offset in 1..=10_000 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    begin(&mut fanout, key, at(0));
    assert!(heard(&outbox).is_empty());
    assert_eq!(fanout.begin_reading(&behind(key), &outbox), Some(at(0)));
}

#[test]
fn messages_that_are_lost_while_a_hole_is_being_filled_are_read_too() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    begin(&mut fanout, key, at(1));
    assert_eq!(
        fanout.arrived(&message("a", 3), &metrics),
        Next::Fill(at(1))
    );
    // The history has been read up to 3; then 4 is lost, and nothing comes after it.
    assert_eq!(fanout.suspect_gap(), Next::Nothing);
    let next = fanout.fill(&channel(), (at(1), &replay(3, true, 2..4)), &metrics);
    assert_eq!(next, Next::Fill(at(3)));
    let next = fanout.fill(&channel(), (at(3), &replay(4, true, 4..5)), &metrics);
    assert_eq!(next, Next::Nothing);
    assert_eq!(heard(&outbox), ["2", "3", "4"]);
}

#[test]
fn a_second_hole_behind_the_first_is_filled_too() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    begin(&mut fanout, key, at(1));
    fanout.arrived(&message("a", 3), &metrics);
    fanout.arrived(&message("a", 5), &metrics);
    let next = fanout.fill(&channel(), (at(1), &replay(3, true, 2..4)), &metrics);
    assert_eq!(next, Next::Fill(at(3)));
    fanout.fill(&channel(), (at(3), &replay(5, true, 4..6)), &metrics);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5"]);
}

#[test]
fn a_hole_larger_than_a_portion_is_filled_before_what_came_meanwhile() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    begin(&mut fanout, key, at(1));
    fanout.arrived(&message("a", 6), &metrics);
    let portion = Replay {
        complete: false,
        ..replay(3, true, 2..4)
    };
    let next = fanout.fill(&channel(), (at(1), &portion), &metrics);
    assert_eq!(next, Next::Fill(at(3)));
    let next = fanout.fill(&channel(), (at(3), &replay(5, true, 4..6)), &metrics);
    assert_eq!(next, Next::Nothing);
    assert_eq!(heard(&outbox), ["2", "3", "4", "5", "6"]);
}

/// An outbox that has room for one message.
fn narrow() -> (Rc<Outbox>, Destination) {
    let (_, destination) = destination(None);
    let list = FlushList::new(Metrics::new().deliveries);
    let form = OutboxForm {
        wire: Wire::RawSse,
        gap: GapForm::Told,
        cursors: CursorForm::OfEach,
    };
    let outbox = Outbox::new(list, 100, form, ConnectionId(1));
    let narrow = Rc::clone(&outbox);
    (
        outbox,
        Destination {
            outbox: narrow,
            ..destination
        },
    )
}

#[test]
fn a_client_with_a_full_outbox_reads_on_in_the_history_and_then_hears_new_messages() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = narrow();
    let key = fanout.join(destination);
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
fn a_client_that_is_too_slow_for_the_history_is_disconnected() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = narrow();
    let key = fanout.join(destination);
    begin(&mut fanout, key, at(1));
    for offset in 2..=5 {
        fanout.arrived(&message("a", offset), &metrics);
    }
    outbox.take();
    let lost = replay(5, false, 0..0);
    let turn = fanout.send_past(&behind(key), &outbox, (at(2), &lost), &metrics);
    assert_eq!(turn, Turn::Over);
    assert_eq!(outbox.closed(), Some(Ended::SlowConsumer));
}

#[test]
fn a_client_that_resumes_is_told_when_the_history_is_gone_before_it_was_sent() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    fanout.begin(key, &channel(), at(1), false);
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
    let (outbox, subscriber_1) = destination(None);
    let (other, _) = destination(None);
    let key = fanout.join(subscriber_1);
    fanout.begin(key, &channel(), at(3), false);
    let portion = replay(5, true, 2..6);
    for (outbox, since) in [(&outbox, at(1)), (&other, at(3))] {
        let turn = fanout.send_past(&behind(key), outbox, (since, &portion), &metrics);
        assert_eq!(turn, Turn::Over);
    }
    assert!(heard(&outbox).is_empty());
    assert_eq!(fanout.place(key), Some(at(3)));
}

#[test]
fn history_that_was_read_for_a_subscription_that_has_left_is_not_sent_to_the_next() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, first) = destination(None);
    let second = Destination {
        outbox: Rc::clone(&outbox),
        lane: outbox.lane(),
        presence: None,
        sender: None,
        policy: SlowConsumerPolicy::Disconnect,
    };
    let key = fanout.join(first);
    fanout.begin(key, &channel(), at(1), false);
    fanout.leave(key);
    assert_eq!(fanout.join(second), key);
    fanout.begin(key, &channel(), at(1), false);
    let read = replay(2, true, 2..3);
    let turn = fanout.send_past(&behind(key), &outbox, (at(1), &read), &metrics);
    assert_eq!(turn, Turn::Over);
    assert!(heard(&outbox).is_empty());
}

#[test]
fn a_hole_of_subscriptions_that_have_all_left_is_filled_for_nobody() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (outbox, destination) = destination(None);
    let key = fanout.join(destination);
    begin(&mut fanout, key, at(7));
    let lost = replay(9, false, 0..0);
    let next = fanout.fill(&channel(), (at(1), &lost), &metrics);
    assert_eq!(next, Next::Nothing);
    assert!(heard(&outbox).is_empty());
    assert_eq!(fanout.place(key), Some(at(7)));
}

#[test]
fn a_subscription_that_begins_before_the_messages_that_its_shard_passes_over_reads_them() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (first, subscriber) = destination(None);
    let early = fanout.join(subscriber);
    let (second, subscriber) = destination(None);
    let late = fanout.join(subscriber);
    begin(&mut fanout, late, at(1));
    fanout.arrived(&message("a", 1), &metrics);
    begin(&mut fanout, early, at(0));
    assert_eq!(read(&mut fanout, early, &first, 1), Turn::Over);
    fanout.arrived(&message("a", 2), &metrics);
    assert_eq!(heard(&first), ["1", "2"]);
    assert_eq!(heard(&second), ["2"]);
}

#[test]
fn a_subscription_that_catches_up_reads_the_messages_that_its_shard_has_passed_over() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (first, subscriber) = destination(None);
    let early = fanout.join(subscriber);
    fanout.begin(early, &channel(), at(0), false);
    assert_eq!(fanout.begin_reading(&behind(early), &first), Some(at(0)));
    let (_, subscriber) = destination(None);
    let late = fanout.join(subscriber);
    begin(&mut fanout, late, at(1));
    fanout.arrived(&message("a", 1), &metrics);
    let nothing = (at(0), &replay(0, true, 0..0));
    let turn = fanout.send_past(&behind(early), &first, nothing, &metrics);
    assert_eq!(turn, Turn::Again);
    assert_eq!(read(&mut fanout, early, &first, 1), Turn::Over);
    assert_eq!(heard(&first), ["1"]);
}

#[test]
fn a_subscription_of_a_new_epoch_is_live_beside_messages_of_the_old() {
    let (metrics, mut fanout) = (Metrics::new(), Fanout::default());
    let (_, subscriber) = destination(None);
    let old = fanout.join(subscriber);
    begin(&mut fanout, old, at(9));
    let (outbox, subscriber) = destination(None);
    let new = fanout.join(subscriber);
    let start = Position {
        epoch: Epoch(2),
        ..at(3)
    };
    fanout.begin(new, &channel(), start, true);
    let end = Replay {
        position: start,
        ..replay(3, true, 0..0)
    };
    assert_eq!(fanout.begin_reading(&behind(new), &outbox), Some(start));
    let turn = fanout.send_past(&behind(new), &outbox, (start, &end), &metrics);
    assert_eq!(turn, Turn::Over);
}
