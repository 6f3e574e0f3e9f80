//! Polls of several channels, with an engine that takes its time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{FutureExt, join};
use tokio::time::{sleep, timeout};
use widecast_protocol::{Cursor, CursorVector, Origin};

use super::*;
use crate::auth::Subject;
use crate::engine::flaky::{Fault, Passage};
use crate::limits::Share;
use crate::session::Echo;
use crate::transports::common::stream_request::MessageFormat;
use crate::transports::simulation::{Scene, Simulation, let_others_run};

/// As long as a poll may wait, which is more than a test takes.
const MINUTE: Duration = Duration::from_mins(1);

fn begin(channels: usize, outbox_bytes: u64) -> Simulation {
    Simulation::new(&Scene {
        channels,
        outbox_bytes,
        slow: 0,
        failing: 0,
        seed: 0,
    })
}

/// A broker in which nothing was published; its channels are `old:a`, which keeps six messages, and `plain:b`.
fn simulation() -> Simulation {
    begin(2, 1 << 20)
}

/// The present ends of all channels.
async fn ends(simulation: &Simulation) -> CursorVector {
    let mut ends = CursorVector::new();
    for channel in &simulation.channels {
        ends.set(channel, simulation.end(channel).await);
    }
    ends
}

fn request(cursor: &str, timeout: Duration) -> StreamRequest {
    StreamRequest {
        channels: Vec::new(),
        cursor: Some(Cursor::parse(cursor).unwrap()),
        cursor_text: None,
        identity: Identity {
            sender: None,
            echo: Echo::Off,
            principal: Principal::new(Subject::Anybody, Origin::unknown()),
            share: Share::default(),
            headers: Vec::new(),
        },
        session: None,
        timeout: Some(timeout),
        callback: None,
        msgpack: false,
        json: false,
        format: MessageFormat::Data,
        presence: None,
    }
}

/// A poll of all channels.
async fn polled(simulation: &Simulation, cursor: &str, wait: Duration) -> PollAnswer {
    let wanted = request(cursor, wait);
    let scope = CursorScope::SeveralChannels;
    let answer = after(
        &simulation.nodes[0].worker,
        &simulation.channels,
        wanted,
        scope,
    )
    .await;
    answer.ok().unwrap()
}

/// A broker whose outboxes have room for 20 kB, as many messages of this size in the first of its channels as that or more, and one
/// small message in the second.
async fn busy(bytes: usize) -> (Simulation, String) {
    let mut simulation = begin(2, 20_000);
    simulation.channels.reverse();
    let begins = ends(&simulation).await.to_string();
    let count = 20_000_usize.div_ceil(bytes) + 1;
    publish(&simulation, &simulation.channels[0], count, bytes).await;
    publish(&simulation, &simulation.channels[1], 1, 1).await;
    (simulation, begins)
}

#[actix_web::test]
async fn the_channels_of_a_poll_take_turns() {
    // Whichever is first.
    for _ in 0..8 {
        let (simulation, begins) = busy(1000).await;
        let answer = polled(&simulation, &begins, Duration::ZERO).await;
        let counts = [0, 1].map(|channel| of(&answer, &simulation.channels[channel]));
        assert!(counts[0] > 0 && counts[1] == 1, "{counts:?}");
    }
}

#[actix_web::test]
async fn a_message_that_fills_an_answer_does_not_fill_each_of_them() {
    let (simulation, begins) = busy(15_000).await;
    // One in two begins with the other channel.
    for _ in 0..100 {
        let answer = polled(&simulation, &begins, Duration::ZERO).await;
        if of(&answer, &simulation.channels[1]) == 1 {
            return;
        }
    }
    panic!("no poll has begun with the second channel");
}

/// How many of the messages are of a channel.
fn of(answer: &PollAnswer, channel: &ChannelName) -> usize {
    let name = format!("\"channel\":\"{channel}\"");
    let is_of = |message: &&Bytes| String::from_utf8_lossy(message).contains(&name);
    answer.messages.iter().filter(is_of).count()
}

async fn publish(simulation: &Simulation, channel: &ChannelName, count: usize, bytes: usize) {
    for _ in 0..count {
        simulation.publish(0, channel, bytes, false).await;
    }
}

/// Does something when the engine has come to where it waits.
async fn while_it_waits(simulation: &Simulation, work: impl Future<Output = ()>) {
    let engine = &simulation.nodes[0].engine;
    engine.reached.notified().await;
    engine.set_faults(|_| None);
    work.await;
    engine.let_go();
}

#[actix_web::test]
async fn a_channel_that_is_lost_while_it_is_read_takes_no_messages_of_the_others_away() {
    // Whichever channel is read first.
    for _ in 0..8 {
        let simulation = simulation();
        let [lost, kept] = &simulation.channels[..] else {
            panic!("two channels");
        };
        let begins = ends(&simulation).await.to_string();
        publish(&simulation, lost, 3, 1).await;
        publish(&simulation, kept, 3, 1).await;
        // The first two calls look whether the history reaches back, the next ones read.
        let mut calls = 0;
        simulation.nodes[0].engine.set_faults(move |call| {
            calls += usize::from(call == "replay");
            (call == "replay" && calls >= 3).then_some(Fault::WaitsBefore)
        });
        let poll = polled(&simulation, &begins, Duration::ZERO);
        let overrun = while_it_waits(&simulation, publish(&simulation, lost, 12, 1));
        let (answer, ()) = join(poll, overrun).await;
        assert!(!answer.recovered);
        assert_eq!(of(&answer, kept), 3);
        assert_eq!(answer.cursor, ends(&simulation).await.to_string());
    }
}

#[actix_web::test]
async fn a_poll_that_waits_is_answered_by_a_gap() {
    let simulation = simulation();
    let lost = &simulation.channels[0];
    let begins = ends(&simulation).await.to_string();
    let poll = timeout(MINUTE / 2, polled(&simulation, &begins, MINUTE));
    let losing = async {
        let_others_run().await;
        simulation.set_passage(0, Passage::IsLost, 12);
        publish(&simulation, lost, 12, 1).await;
        simulation.settle(0);
    };
    let (answer, ()) = join(poll, losing).await;
    let answer = answer.expect("the poll is answered before its time is up");
    assert!(!answer.recovered);
    assert_eq!(answer.cursor, ends(&simulation).await.to_string());
}

/// Lets the engine answer, once it has been asked all that it is asked at once. Says how often that was.
async fn let_go(simulation: &Simulation, calls: &AtomicUsize) -> usize {
    let_others_run().await;
    simulation.nodes[0].engine.let_go();
    calls.load(Ordering::Relaxed)
}

#[actix_web::test]
async fn the_engine_is_asked_about_all_channels_of_a_poll_at_once() {
    let simulation = begin(3, 1 << 20);
    let begins = ends(&simulation).await.to_string();
    let calls = simulation.nodes[0].engine.hold_up("replay");
    let poll = polled(&simulation, &begins, Duration::ZERO);
    let (answer, asked) = join(poll, let_go(&simulation, &calls)).await;
    assert_eq!((answer.cursor, asked), (begins.clone(), 3));

    let calls = simulation.nodes[0].engine.hold_up("position");
    let anybody = Principal::new(Subject::Anybody, Origin::unknown());
    let scope = CursorScope::SeveralChannels;
    let poll = present(
        &simulation.nodes[0].worker,
        &anybody,
        &simulation.channels,
        scope,
    );
    let (answer, asked) = join(poll, let_go(&simulation, &calls)).await;
    assert_eq!((answer.ok().unwrap().cursor, asked), (begins, 3));
}

#[actix_web::test]
async fn the_channels_of_a_poll_are_read_at_once() {
    let simulation = begin(3, 1 << 20);
    let begins = ends(&simulation).await.to_string();
    for channel in &simulation.channels {
        publish(&simulation, channel, 2, 1).await;
    }
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    // The first three look whether the history reaches back.
    simulation.nodes[0].engine.set_faults(move |call| {
        let number = usize::from(call == "replay");
        let before = counted.fetch_add(number, Ordering::Relaxed);
        (call == "replay" && before >= 3).then_some(Fault::WaitsBefore)
    });
    let poll = polled(&simulation, &begins, Duration::ZERO);
    let (answer, asked) = join(poll, let_go(&simulation, &reads)).await;
    assert_eq!((answer.messages.len(), asked), (6, 6));
    assert_eq!(answer.cursor, ends(&simulation).await.to_string());
}

#[actix_web::test]
async fn a_poll_is_sent_elsewhere_while_the_broker_takes_leave() {
    let simulation = simulation();
    let worker = &simulation.nodes[0].worker;
    worker.services.drain();
    for timeout in [None, Some(MINUTE)] {
        let wanted = StreamRequest {
            cursor: None,
            timeout,
            ..request("plain:b=1-0", MINUTE)
        };
        let scope = CursorScope::SeveralChannels;
        let answered = answer(worker, &simulation.channels, wanted, scope).await;
        let code = answered.err().map(|problem| problem.code());
        assert_eq!(code, Some(Code::ShuttingDown), "{timeout:?}");
    }
}

#[actix_web::test]
async fn a_poll_that_is_given_up_while_it_joins_leaves_nothing_behind() {
    let simulation = begin(3, 1 << 20);
    let begins = ends(&simulation).await.to_string();
    let calls = simulation.nodes[0].engine.hold_up("replay");
    let joined = || {
        simulation.nodes[0]
            .worker
            .services
            .metrics
            .sessions
            .subscriptions
            .get()
    };
    {
        let mut poll = pin!(polled(&simulation, &begins, Duration::ZERO));
        for _ in 0..24 {
            assert!(poll.as_mut().now_or_never().is_none());
        }
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        assert_eq!(joined(), 3);
    }
    assert_eq!(joined(), 0);
}

#[actix_web::test]
async fn a_poll_waits_no_longer_because_it_took_long_to_join() {
    tokio::time::pause();
    let simulation = simulation();
    let begins = ends(&simulation).await.to_string();
    let calls = simulation.nodes[0].engine.hold_up("replay");
    let began = Instant::now();
    let slow_engine = async {
        sleep(MINUTE / 3).await;
        let_go(&simulation, &calls).await
    };
    let (answer, _) = join(polled(&simulation, &begins, MINUTE / 2), slow_engine).await;
    assert_eq!(answer.messages.len(), 0);
    // The clock stands still but for what is waited for.
    assert_eq!(began.elapsed().as_secs(), 30);
}
