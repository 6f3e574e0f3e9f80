use super::*;
use crate::config::SlowConsumerPolicy;
use crate::registry::outbox::form::GapForm;
use crate::registry::outbox::pushing::Pushed;
use widecast_protocol::Code;
use widecast_protocol::framing::Wire;

use crate::metrics::Metrics;
use crate::registry::CursorForm;
use crate::registry::testing::message;

/// Room for three messages of 30 bytes and what they cost besides.
const LIMIT: usize = 300;

/// A frame beside which one message has room, but no other frame.
const LARGE_FRAME: [u8; 96] = [b'r'; 96];

fn outbox(gap: GapForm) -> Rc<Outbox> {
    speaking(gap, CursorForm::OfEach, LIMIT)
}

fn speaking(gap: GapForm, cursors: CursorForm, limit_bytes: usize) -> Rc<Outbox> {
    let list = FlushList::new(Metrics::new().deliveries);
    let wire = match gap {
        GapForm::Told | GapForm::Noted => Wire::RawNdjson,
        GapForm::Ends => Wire::RawWebSocket,
    };
    Outbox::new(
        list,
        limit_bytes,
        OutboxForm { wire, gap, cursors },
        ConnectionId(1),
    )
}

/// A gap as it stands in the stream, in short: of which channel, up to which offset.
fn shortened(text: &str) -> String {
    short_gaps(text, |channel, cursor| {
        let offset = cursor.split_once('-').map_or(cursor, |(_, offset)| offset);
        format!("gap {channel} {offset}")
    })
}

fn short_gaps(text: &str, show: impl Fn(&str, &str) -> String) -> String {
    let mut parts = text.split("{\"type\":\"gap\",\"channel\":\"");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (channel, rest) = part
            .split_once("\",\"recovered\":false,\"cursor\":\"")
            .unwrap();
        let (cursor, rest) = rest.split_once("\"}\n").unwrap();
        all += &show(channel, cursor);
        all += rest;
    }
    all
}

/// One for each channel.
fn lane(channel: &str) -> Lane {
    Lane(channel.bytes().map(u32::from).sum())
}

fn push(outbox: &Rc<Outbox>, channel: &str, offset: u64, policy: SlowConsumerPolicy) -> Pushed {
    let bytes = format!("{channel} {offset:<width$}", width = 29 - channel.len()).into();
    outbox.push_message(bytes, &message(channel, offset), lane(channel), policy)
}

fn taken(outbox: &Outbox) -> Vec<String> {
    let text = |bytes: &Bytes| shortened(&String::from_utf8_lossy(bytes)).trim().to_owned();
    outbox.take().iter().map(text).collect()
}

#[test]
fn by_default_a_message_that_does_not_fit_is_not_queued_and_nothing_is_dropped() {
    let outbox = outbox(GapForm::Told);
    for offset in 1..=3 {
        assert_eq!(
            push(&outbox, "a", offset, SlowConsumerPolicy::Disconnect),
            Pushed::Queued
        );
    }
    assert_eq!(
        push(&outbox, "a", 4, SlowConsumerPolicy::Disconnect),
        Pushed::Full
    );
    assert!(outbox.is_open());
    assert_eq!(taken(&outbox), ["a 1", "a 2", "a 3"]);
}

#[test]
fn drop_oldest_tells_of_the_gap_before_what_is_left() {
    let outbox = outbox(GapForm::Told);
    for offset in 1..=3 {
        push(&outbox, "a", offset, SlowConsumerPolicy::DropOldest);
    }
    assert_eq!(
        push(&outbox, "a", 4, SlowConsumerPolicy::DropOldest),
        Pushed::Dropped(1)
    );
    assert_eq!(
        push(&outbox, "a", 5, SlowConsumerPolicy::DropOldest),
        Pushed::Dropped(1)
    );
    assert_eq!(taken(&outbox), ["gap a 2", "a 3", "a 4", "a 5"]);
    assert_eq!(outbox.queued_bytes(), 0);
}

#[test]
fn latest_keeps_the_newest_message_of_each_channel() {
    let outbox = outbox(GapForm::Told);
    push(&outbox, "a", 1, SlowConsumerPolicy::Latest);
    push(&outbox, "b", 1, SlowConsumerPolicy::Latest);
    push(&outbox, "a", 2, SlowConsumerPolicy::Latest);
    assert_eq!(
        push(&outbox, "b", 2, SlowConsumerPolicy::Latest),
        Pushed::Dropped(1)
    );
    assert_eq!(taken(&outbox), ["gap a 1", "b 1", "a 2", "b 2"]);
}

#[test]
fn items_that_may_not_be_dropped_stay_and_end_the_session_when_they_fill_the_outbox() {
    let outbox = outbox(GapForm::Told);
    outbox.push_frame(Bytes::from_static(&LARGE_FRAME));
    push(&outbox, "a", 1, SlowConsumerPolicy::DropOldest);
    assert_eq!(
        push(&outbox, "a", 2, SlowConsumerPolicy::DropOldest),
        Pushed::Dropped(1)
    );
    // Messages do not take the place of answers, but wait for them.
    assert_eq!(outbox.push_frame(vec![b'r'; 70].into()), Pushed::Queued);
    assert_eq!(
        push(&outbox, "a", 3, SlowConsumerPolicy::DropOldest),
        Pushed::Full
    );
    assert_eq!(
        outbox.push_frame(Bytes::from_static(&LARGE_FRAME)),
        Pushed::Full
    );
    assert_eq!(outbox.closed(), Some(Ended::SlowConsumer));
}

#[test]
fn where_a_gap_cannot_be_told_every_policy_disconnects() {
    let outbox = outbox(GapForm::Noted);
    for offset in 1..=3 {
        push(&outbox, "a", offset, SlowConsumerPolicy::DropOldest);
    }
    assert_eq!(
        push(&outbox, "a", 4, SlowConsumerPolicy::Latest),
        Pushed::Full
    );
}

#[test]
fn one_message_larger_than_the_outbox_fits_when_it_is_empty() {
    let outbox = outbox(GapForm::Told);
    let large = Bytes::from(vec![0; LIMIT * 3]);
    let message = message("a", 1);
    let pushed = outbox.push_message(large, &message, lane("a"), SlowConsumerPolicy::Disconnect);
    assert_eq!(pushed, Pushed::Queued);
    assert_eq!(
        push(&outbox, "a", 2, SlowConsumerPolicy::Disconnect),
        Pushed::Full
    );
}

fn push_past(outbox: &Rc<Outbox>, bytes: usize) {
    outbox.push_past(vec![b'p'; bytes].into(), &message("a", 1), lane("a"));
}

#[test]
fn an_answer_fits_however_many_messages_wait() {
    let outbox = outbox(GapForm::Told);
    push_past(&outbox, 10 * LIMIT);
    let answer = || Bytes::from(vec![b'r'; LIMIT / 2]);
    assert_eq!(outbox.push_frame(answer()), Pushed::Queued);
    // But only so many answers.
    assert_eq!(outbox.push_frame(answer()), Pushed::Full);
    assert_eq!(outbox.closed(), Some(Ended::SlowConsumer));
}

#[test]
fn more_may_be_asked_for_when_few_answers_wait() {
    let outbox = outbox(GapForm::Told);
    let mut context = Context::from_waker(Waker::noop());
    push_past(&outbox, 10 * LIMIT);
    outbox.push_frame(vec![b'r'; 50].into());
    assert!(outbox.poll_answers(&mut context).is_ready());
    outbox.push_frame(vec![b'r'; 10 * LIMIT].into());
    assert!(outbox.poll_answers(&mut context).is_pending());
    outbox.take();
    assert!(outbox.poll_answers(&mut context).is_ready());
}

#[test]
fn an_answer_of_which_a_part_is_written_counts_until_all_of_it_is() {
    let outbox = outbox(GapForm::Told);
    let mut context = Context::from_waker(Waker::noop());
    let large = 10 * LIMIT;
    outbox.push_frame(vec![b'r'; large].into());
    outbox.push_frame(Bytes::from_static(b"second"));
    let owed = outbox.owed_bytes();
    for most in [1, LIMIT, large - LIMIT - 2] {
        outbox.written(most);
        assert_eq!(outbox.owed_bytes(), owed);
        assert!(outbox.poll_answers(&mut context).is_pending());
    }
    outbox.written(2);
    assert!(outbox.owed_bytes() < LIMIT / 2);
    assert!(outbox.poll_answers(&mut context).is_ready());
    assert_eq!(taken(&outbox), ["econd"]);
    assert_eq!(outbox.owed_bytes(), 0);
}

#[test]
fn behind_a_large_answer_there_is_room_for_the_news() {
    let outbox = outbox(GapForm::Told);
    let news = || Bytes::from_static(b"joins");
    for most in [0, 1, LIMIT] {
        outbox.push_frame(vec![b'r'; 10 * LIMIT].into());
        outbox.written(most);
        for _ in 0..LIMIT / 69 {
            assert_eq!(outbox.push_frame(news()), Pushed::Queued);
        }
        outbox.take();
    }
    // But only so many.
    outbox.push_frame(vec![b'r'; 10 * LIMIT].into());
    while outbox.push_frame(news()) == Pushed::Queued {
        assert!(outbox.owed_bytes() <= 10 * LIMIT + 64 + LIMIT);
    }
    assert_eq!(outbox.closed(), Some(Ended::SlowConsumer));
}

#[test]
fn a_gap_that_the_stream_cannot_tell_is_the_last_it_says() {
    let outbox = outbox(GapForm::Ends);
    outbox.push_frame(Bytes::from_static(b"before"));
    let message = message("a", 7);
    outbox.push_gap(&message.message().channel, message.position(), lane("a"));
    assert_eq!(
        push(&outbox, "a", 8, SlowConsumerPolicy::Disconnect),
        Pushed::Closed
    );
    let last = Wire::RawWebSocket.end(Code::HistoryLost, Code::HistoryLost.meaning(), None);
    assert_eq!(outbox.take(), [Bytes::from_static(b"before"), last]);
}

#[test]
fn a_gap_that_is_told_beside_the_messages_takes_none_of_them_away() {
    let outbox = speaking(GapForm::Noted, CursorForm::OfAll, LIMIT);
    let mut context = Context::from_waker(Waker::noop());
    assert!(outbox.poll_take(&mut context).is_pending());
    outbox.push_frame(Bytes::from_static(b"before"));
    let message = message("a", 7);
    let channel = &message.message().channel;
    outbox.push_gap(channel, message.position(), lane("a"));
    assert!(outbox.is_open());
    assert_eq!(outbox.places().get(channel), None);
    assert_eq!(taken(&outbox), ["before"]);
    assert_eq!(outbox.places().get(channel), Some(message.position()));
    // A poll that waits is answered by the gap alone.
    assert!(outbox.has_lost());
    assert!(outbox.poll_take(&mut context).is_ready());
}

#[test]
fn droppable_messages_give_way_to_others() {
    let outbox = outbox(GapForm::Told);
    for offset in 1..=3 {
        push(&outbox, "a", offset, SlowConsumerPolicy::DropOldest);
    }
    for offset in 1..=2 {
        assert_eq!(
            push(&outbox, "b", offset, SlowConsumerPolicy::Disconnect),
            Pushed::Queued
        );
    }
    assert_eq!(taken(&outbox), ["gap a 2", "a 3", "b 1", "b 2"]);
}

#[test]
fn there_is_room_again_when_half_of_the_outbox_is_free() {
    let outbox = outbox(GapForm::Told);
    let mut context = Context::from_waker(Waker::noop());
    push(&outbox, "a", 1, SlowConsumerPolicy::Disconnect);
    assert!(outbox.poll_room(&mut context).is_ready());
    push(&outbox, "a", 2, SlowConsumerPolicy::Disconnect);
    assert!(outbox.poll_room(&mut context).is_pending());
    outbox.take();
    assert!(outbox.poll_room(&mut context).is_ready());
}

/// Writes everything, `most` bytes at a time.
fn written(outbox: &Outbox, most: usize) -> String {
    let mut all = Vec::new();
    while outbox.queued_bytes() > 0 || !outbox.backlog.borrow().is_empty() {
        all.extend(outbox.written(most));
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_gap_right_behind_what_one_write_takes_is_told() {
    for before in 1..70 {
        for first in [0, 1, 32, before, 10_000] {
            let outbox = speaking(GapForm::Told, CursorForm::OfEach, 70 * (64 + 30));
            for _ in 0..before {
                outbox.push_frame(Bytes::from_static(b"."));
            }
            while push(&outbox, "a", 1, SlowConsumerPolicy::DropOldest) == Pushed::Queued {}
            let mut all = String::from_utf8(outbox.written(first)).unwrap();
            all += &written(&outbox, 10_000);
            let told = shortened(&all).contains("gap a 1");
            assert!(told, "{before} frames, {first} bytes");
        }
    }
}

#[test]
fn a_gap_is_told_before_what_waits_behind_the_first_that_is_lost() {
    let outbox = outbox(GapForm::Told);
    push(&outbox, "a", 1, SlowConsumerPolicy::DropOldest);
    push(&outbox, "b", 1, SlowConsumerPolicy::Disconnect);
    push(&outbox, "a", 2, SlowConsumerPolicy::DropOldest);
    push(&outbox, "a", 3, SlowConsumerPolicy::DropOldest);
    push(&outbox, "a", 4, SlowConsumerPolicy::DropOldest);
    assert_eq!(taken(&outbox), ["gap a 2", "b 1", "a 3", "a 4"]);
}

#[test]
fn a_gap_does_not_tell_of_what_is_lost_behind_a_later_subscription() {
    let outbox = outbox(GapForm::Told);
    let push_in = |lane, offset| {
        let bytes = Bytes::from(format!("a {offset:<28}"));
        outbox.push_message(
            bytes,
            &message("a", offset),
            Lane(lane),
            SlowConsumerPolicy::DropOldest,
        )
    };
    for offset in 1..=3 {
        push_in(1, offset);
    }
    outbox.push_frame(Bytes::from_static(b"subscribed to a at 20"));
    for offset in 21..=24 {
        push_in(2, offset);
    }
    assert_eq!(
        taken(&outbox),
        [
            "gap a 3",
            "subscribed to a at 20",
            "gap a 22",
            "a 23",
            "a 24"
        ]
    );
}

#[test]
fn a_gap_does_not_tell_of_what_is_lost_behind_the_past() {
    let outbox = outbox(GapForm::Told);
    let at = |offset| message("a", offset);
    outbox.push_gap(&at(1).message().channel, at(10).position(), lane("a"));
    outbox.push_past(Bytes::from_static(b"a 11"), &at(11), lane("a"));
    for offset in 12..=15 {
        push(&outbox, "a", offset, SlowConsumerPolicy::DropOldest);
    }
    assert_eq!(
        taken(&outbox),
        ["gap a 10", "a 11", "gap a 13", "a 14", "a 15"]
    );
}

#[test]
fn gaps_that_nothing_stands_between_are_one() {
    let outbox = outbox(GapForm::Told);
    push(&outbox, "a", 1, SlowConsumerPolicy::DropOldest);
    let hole = message("a", 9);
    outbox.push_gap(&hole.message().channel, hole.position(), lane("a"));
    for offset in 10..=13 {
        push(&outbox, "a", offset, SlowConsumerPolicy::DropOldest);
    }
    assert_eq!(taken(&outbox), ["gap a 10", "a 11", "a 12", "a 13"]);
}

#[test]
fn a_cursor_of_all_channels_is_where_the_client_is_when_it_is_written() {
    let outbox = speaking(GapForm::Told, CursorForm::OfAll, LIMIT);
    let push = |channel: &str, offset, policy| {
        let bytes = Bytes::from(format!(" {channel} {offset:<27}>"));
        outbox.push_message(bytes, &message(channel, offset), lane(channel), policy)
    };
    for channel in ["a", "b"] {
        let start = message(channel, 0);
        outbox.begin_at(&start.message().channel, start.position());
    }
    push("a", 1, SlowConsumerPolicy::DropOldest);
    push("b", 1, SlowConsumerPolicy::Disconnect);
    push("a", 2, SlowConsumerPolicy::DropOldest);
    push("a", 3, SlowConsumerPolicy::DropOldest);
    push("b", 2, SlowConsumerPolicy::Disconnect);
    // One's own moves the place once everything before it is told.
    outbox.pass(&message("b", 3));
    let text = written(&outbox, 5).replace(' ', "");
    let text = short_gaps(&text, |channel, cursor| format!("[gap{channel}{cursor}]"));
    assert_eq!(
        text.replace("{\"cursor\":\"", "<"),
        "[gapaa=1-2,b=1-0]<a=1-2,b=1-1b1><a=1-3,b=1-1a3><a=1-3,b=1-3b2>"
    );
    assert_eq!(outbox.places().to_string(), "a=1-3,b=1-3");
}

/// What the client is told of its place with the next heartbeat, without the braces around it.
fn told_place(outbox: &Rc<Outbox>) -> String {
    let waiting = outbox.queued_bytes();
    outbox.tell_place();
    if waiting > 0 {
        assert_eq!(outbox.queued_bytes(), waiting, "a place behind what waits");
        return String::new();
    }
    let told = written(outbox, 10_000);
    let cursor = told
        .trim()
        .strip_prefix("{\"type\":\"cursor\",\"cursor\":\"");
    cursor.map_or(told.clone(), |cursor| cursor.replace("\"}", ""))
}

#[test]
fn a_client_is_told_once_that_its_place_is_behind_its_own_messages() {
    let outbox = outbox(GapForm::Told);
    assert_eq!(told_place(&outbox), "");
    for offset in 1..=3 {
        outbox.pass(&message("a", offset));
    }
    assert_eq!(outbox.queued_bytes(), 0);
    assert_eq!(told_place(&outbox), "1-3");
    assert_eq!(told_place(&outbox), "");
    outbox.pass(&message("a", 4));
    assert_eq!(told_place(&outbox), "1-4");
}

#[test]
fn a_place_is_not_told_before_what_waits_before_it() {
    for first in [0, 7] {
        let outbox = outbox(GapForm::Told);
        push(&outbox, "a", 1, SlowConsumerPolicy::Disconnect);
        outbox.pass(&message("a", 2));
        outbox.written(first);
        assert_eq!(told_place(&outbox), "");
        written(&outbox, 10);
        assert_eq!(told_place(&outbox), "1-2");
        assert_eq!(told_place(&outbox), "");
    }
}

#[test]
fn a_place_is_not_told_behind_a_later_message() {
    for policy in [SlowConsumerPolicy::Disconnect, SlowConsumerPolicy::Latest] {
        let outbox = outbox(GapForm::Told);
        push(&outbox, "a", 1, policy);
        outbox.pass(&message("a", 2));
        push(&outbox, "a", 3, policy);
        assert_eq!(told_place(&outbox), "");
        written(&outbox, 10);
        assert_eq!(told_place(&outbox), "");
        // What is not told yet is overtaken, too.
        outbox.pass(&message("a", 4));
        push(&outbox, "a", 5, policy);
        written(&outbox, 10);
        assert_eq!(told_place(&outbox), "", "{policy:?}");
    }
}

#[test]
fn a_place_is_not_told_before_the_gap_of_what_was_dropped() {
    let outbox = outbox(GapForm::Told);
    for offset in 1..=4 {
        push(&outbox, "a", offset, SlowConsumerPolicy::DropOldest);
    }
    outbox.pass(&message("a", 5));
    assert_eq!(told_place(&outbox), "");
    assert_eq!(
        shortened(&written(&outbox, 1)).split_whitespace().next(),
        Some("gap")
    );
    assert_eq!(told_place(&outbox), "1-5");
}

#[test]
fn places_of_all_channels_are_told_unless_a_message_has_told_them() {
    let outbox = speaking(GapForm::Told, CursorForm::OfAll, LIMIT);
    for channel in ["a", "b"] {
        let start = message(channel, 0);
        outbox.begin_at(&start.message().channel, start.position());
    }
    outbox.pass(&message("b", 1));
    assert_eq!(told_place(&outbox), "a=1-0,b=1-1");
    // The cursor of a message tells them.
    outbox.pass(&message("b", 2));
    push(&outbox, "a", 1, SlowConsumerPolicy::Disconnect);
    outbox.pass(&message("b", 3));
    let text = written(&outbox, 5);
    assert!(text.contains("a=1-1,b=1-3"), "{text}");
    assert_eq!(told_place(&outbox), "");
    // Once a message has begun, its cursor is what it is.
    push(&outbox, "a", 2, SlowConsumerPolicy::Disconnect);
    outbox.written(1);
    outbox.pass(&message("b", 4));
    assert_eq!(told_place(&outbox), "");
    let text = written(&outbox, 5);
    assert!(text.contains("a=1-2,b=1-3"), "{text}");
    assert_eq!(told_place(&outbox), "a=1-2,b=1-4");
}

#[test]
fn no_place_is_kept_for_a_client_that_never_publishes_or_is_told_no_cursors() {
    let silent = outbox(GapForm::Told);
    push(&silent, "a", 1, SlowConsumerPolicy::Disconnect);
    assert!(!silent.backlog.borrow().keeps_places());
    let raw = outbox(GapForm::Ends);
    raw.pass(&message("a", 1));
    assert!(!raw.backlog.borrow().keeps_places());
    assert_eq!(told_place(&raw), "");
}

#[test]
fn nothing_of_ones_own_moves_the_place_past_what_is_thrown_away() {
    let outbox = speaking(GapForm::Noted, CursorForm::OfAnswers, LIMIT);
    let start = message("a", 0);
    outbox.begin_at(&start.message().channel, start.position());
    push(&outbox, "a", 1, SlowConsumerPolicy::Disconnect);
    outbox.pass(&message("a", 2));
    outbox.close(Ended::EngineUnavailable);
    outbox.pass(&message("a", 3));
    assert!(outbox.take().is_empty());
    assert_eq!(outbox.places().to_string(), "a=1-0");
}

#[test]
fn every_ping_is_answered_until_half_of_the_outbox_is_full() {
    let outbox = outbox(GapForm::Told);
    for number in 0..1000 {
        outbox.push_pong(format!("pong {number}").into());
    }
    assert!(outbox.is_open());
    assert!(outbox.queued_bytes() <= LIMIT);
    outbox.push_frame(Bytes::from_static(b"r"));
    assert_eq!(taken(&outbox), ["pong 0", "pong 1", "pong 999", "r"]);
    outbox.push_pong(Bytes::from_static(b"pong"));
    assert_eq!(taken(&outbox), ["pong"]);
}

#[test]
fn a_pong_of_which_a_part_is_written_stays() {
    let outbox = outbox(GapForm::Told);
    outbox.push_pong(vec![b'1'; 100].into());
    outbox.written(2);
    outbox.push_pong(Bytes::from_static(b"second"));
    outbox.push_pong(Bytes::from_static(b"third"));
    assert_eq!(taken(&outbox), ["1".repeat(98), "third".to_owned()]);
}

#[test]
fn the_cost_of_small_frames_is_counted() {
    let outbox = outbox(GapForm::Told);
    let mut queued = 0;
    while outbox.push_frame(Bytes::from_static(b"xy")) == Pushed::Queued {
        queued += 1;
    }
    assert!(queued * 66 <= LIMIT, "{queued} frames of 2 bytes");
}

#[test]
fn messages_that_a_client_never_reads_are_dropped_without_a_walk_over_all_that_wait() {
    const MESSAGES: u64 = 200_000;
    for policy in [SlowConsumerPolicy::DropOldest, SlowConsumerPolicy::Latest] {
        let outbox = speaking(GapForm::Told, CursorForm::OfEach, 1 << 20);
        for offset in 1..=MESSAGES {
            let channel = ["c", "a", "b"][usize::try_from(offset % 3).unwrap()];
            push(&outbox, channel, offset, policy);
        }
        // Neither gaps nor what is gone pile up.
        let frames = outbox.backlog.borrow_mut().take();
        assert!(frames.len() < 12_000, "{policy:?}: {}", frames.len());
        let newest = format!("b {MESSAGES}");
        assert!(
            frames
                .last()
                .is_some_and(|last| last.starts_with(newest.as_bytes()))
        );
    }
}
