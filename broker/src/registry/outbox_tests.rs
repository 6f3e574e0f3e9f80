use super::*;
use crate::metrics::Metrics;
use crate::registry::testing::message;

const LIMIT: usize = 100;

fn tell(channel: &ChannelName, cursor: Position) -> Bytes {
    format!("gap {channel} {}", cursor.offset).into()
}

fn outbox(gap_form: GapForm) -> Rc<Outbox> {
    let list = FlushList::new(Metrics::new().deliveries);
    Outbox::new(list, LIMIT, gap_form)
}

fn push(outbox: &Rc<Outbox>, channel: &str, offset: u64, policy: SlowConsumer) -> Pushed {
    let bytes = format!("{channel} {offset:<width$}", width = 29 - channel.len()).into();
    outbox.push_message(bytes, &message(channel, offset), policy)
}

fn taken(outbox: &Outbox) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    outbox.take().iter().map(text).collect()
}

#[test]
fn a_full_outbox_ends_the_session_by_default() {
    let outbox = outbox(GapForm::Told(tell));
    for offset in 1..=3 {
        assert_eq!(
            push(&outbox, "a", offset, SlowConsumer::Disconnect),
            Pushed::Queued
        );
    }
    assert_eq!(
        push(&outbox, "a", 4, SlowConsumer::Disconnect),
        Pushed::Full
    );
    assert_eq!(outbox.closed(), Some(Code::SlowConsumer));
    assert_eq!(
        push(&outbox, "a", 5, SlowConsumer::Disconnect),
        Pushed::Closed
    );
    assert_eq!(outbox.queued_bytes(), 0);
}

#[test]
fn drop_oldest_tells_of_the_gap_before_what_is_left() {
    let outbox = outbox(GapForm::Told(tell));
    for offset in 1..=3 {
        push(&outbox, "a", offset, SlowConsumer::DropOldest);
    }
    assert_eq!(
        push(&outbox, "a", 4, SlowConsumer::DropOldest),
        Pushed::Dropped(1)
    );
    assert_eq!(
        push(&outbox, "a", 5, SlowConsumer::DropOldest),
        Pushed::Dropped(1)
    );
    assert_eq!(taken(&outbox), ["gap a 2", "a 3", "a 4", "a 5"]);
    assert_eq!(outbox.queued_bytes(), 0);
}

#[test]
fn latest_keeps_the_newest_message_of_each_channel() {
    let outbox = outbox(GapForm::Told(tell));
    push(&outbox, "a", 1, SlowConsumer::Latest);
    push(&outbox, "b", 1, SlowConsumer::Latest);
    push(&outbox, "a", 2, SlowConsumer::Latest);
    assert_eq!(
        push(&outbox, "b", 2, SlowConsumer::Latest),
        Pushed::Dropped(1)
    );
    assert_eq!(taken(&outbox), ["gap a 1", "b 1", "a 2", "b 2"]);
}

#[test]
fn what_may_not_be_dropped_stays_and_ends_the_session_when_it_fills_the_outbox() {
    let outbox = outbox(GapForm::Told(tell));
    outbox.push_frame(vec![b'r'; 60].into());
    push(&outbox, "a", 1, SlowConsumer::DropOldest);
    assert_eq!(
        push(&outbox, "a", 2, SlowConsumer::DropOldest),
        Pushed::Dropped(1)
    );
    assert_eq!(outbox.push_frame(vec![b'r'; 60].into()), Pushed::Full);
    assert_eq!(outbox.closed(), Some(Code::SlowConsumer));
}

#[test]
fn where_a_gap_cannot_be_told_every_policy_disconnects() {
    let outbox = outbox(GapForm::Closes);
    for offset in 1..=3 {
        push(&outbox, "a", offset, SlowConsumer::DropOldest);
    }
    assert_eq!(push(&outbox, "a", 4, SlowConsumer::Latest), Pushed::Full);
}

#[test]
fn one_message_larger_than_the_outbox_fits_when_it_is_empty() {
    let outbox = outbox(GapForm::Told(tell));
    let large = Bytes::from(vec![0; LIMIT * 3]);
    let pushed = outbox.push_message(large, &message("a", 1), SlowConsumer::Disconnect);
    assert_eq!(pushed, Pushed::Queued);
    assert_eq!(outbox.push_frame(Bytes::from_static(b"x")), Pushed::Full);
}

#[test]
fn a_gap_that_the_stream_cannot_tell_is_the_last_it_says() {
    let outbox = outbox(GapForm::Ends(|| Bytes::from_static(b"bye")));
    outbox.push_frame(Bytes::from_static(b"before"));
    let message = message("a", 7);
    outbox.push_gap(&message.message().channel, message.position());
    assert_eq!(
        push(&outbox, "a", 8, SlowConsumer::Disconnect),
        Pushed::Closed
    );
    assert_eq!(taken(&outbox), ["before", "bye"]);
}

#[test]
fn what_may_be_dropped_gives_way_to_what_may_not() {
    let outbox = outbox(GapForm::Told(tell));
    for offset in 1..=3 {
        push(&outbox, "a", offset, SlowConsumer::DropOldest);
    }
    assert_eq!(outbox.push_frame(vec![b'r'; 30].into()), Pushed::Queued);
    assert_eq!(
        push(&outbox, "b", 1, SlowConsumer::Disconnect),
        Pushed::Queued
    );
    let reply = "r".repeat(30);
    assert_eq!(taken(&outbox), ["gap a 2", "a 3", &reply, "b 1"]);
}

#[test]
fn there_is_room_again_when_half_of_the_outbox_is_free() {
    let outbox = outbox(GapForm::Told(tell));
    let mut context = Context::from_waker(Waker::noop());
    push(&outbox, "a", 1, SlowConsumer::Disconnect);
    assert!(outbox.poll_room(&mut context).is_ready());
    push(&outbox, "a", 2, SlowConsumer::Disconnect);
    assert!(outbox.poll_room(&mut context).is_pending());
    outbox.take();
    assert!(outbox.poll_room(&mut context).is_ready());
}
