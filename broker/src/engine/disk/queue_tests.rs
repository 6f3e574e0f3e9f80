//! Whose turn it is to write: nothing that has been taken is left lying, whoever goes, and nothing is written twice or out of its order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use widecast_protocol::EncodedMessage;

use super::tests::{DiskStage, settings};
use super::*;
use crate::engine::conformance::{publication, texts};
use crate::engine::{ManualClock, NumberedChange, WriteFigures};

/// For how long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(what);
}

#[tokio::test]
async fn publications_of_one_worker_are_written_in_the_order_in_which_they_came() {
    let stage = DiskStage::new();
    let names: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    let publications = names.iter().map(|text| stage.publish("news", text));
    let places = join_all(publications).await;
    let offsets: Vec<_> = places.iter().map(|place| place.position.offset.0).collect();
    assert_eq!(offsets, (1..=300).collect::<Vec<_>>());
    assert_eq!(texts(&stage.heard.messages()), names);
}

#[tokio::test]
async fn what_a_publisher_has_given_is_written_though_the_publisher_goes() {
    for durability in [Durability::Process, Durability::Power] {
        let stage = DiskStage::with(|settings| settings.durability = durability);
        {
            let mut publishing = stage.engine.publish(publication("news", "a"));
            let context = &mut Context::from_waker(Waker::noop());
            assert!(publishing.as_mut().poll(context).is_pending());
        }
        let is_heard = || stage.heard.messages().len() == 1;
        wait_until("the message is heard", is_heard).await;
    }
}

#[tokio::test]
async fn who_publishes_alone_is_soon_answered_at_once() {
    const TRIES: usize = 10_000;
    let stage = DiskStage::new();
    let is_answered = async || {
        let mut publishing = stage.engine.publish(publication("news", "a"));
        let first = publishing
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        let is_ready = first.is_ready();
        if !is_ready {
            publishing.await.unwrap();
        }
        is_ready
    };
    // The thread may be about it, too.
    let mut tries = 0;
    while !is_answered().await {
        tries += 1;
        assert!(tries < TRIES);
    }
    assert!(tries >= 10, "{tries}");
    // Others who come are found, and from then on looked for.
    for _ in 0..200 {
        join_all(["b", "c"].map(|text| stage.publish("news", text))).await;
    }
    assert!(stage.engine.queue.company.is_expected());
    assert!(!is_answered().await);
}

#[tokio::test]
async fn a_large_message_and_those_around_it_keep_their_order() {
    let stage = DiskStage::new();
    let large = "x".repeat(HEAVY_BYTES + 1);
    let all = ["a", &large, "b", &large, "c"];
    join_all(all.map(|text| stage.publish("news", text))).await;
    assert_eq!(texts(&stage.heard.messages()), all);
}

#[tokio::test]
async fn many_workers_publish_at_once_and_all_are_answered() {
    const WORKERS: usize = 4;
    const ROUNDS: usize = 40;
    const AT_ONCE: usize = 8;
    let stage = Arc::new(DiskStage::new());
    let publish = |worker: usize| {
        let stage = Arc::clone(&stage);
        move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async {
                let publishing = async {
                    for round in 0..ROUNDS {
                        let texts = (0..AT_ONCE).map(|number| format!("{worker} {round} {number}"));
                        join_all(texts.map(|text| {
                            let stage = Arc::clone(&stage);
                            async move { stage.publish("news", &text).await }
                        }))
                        .await;
                    }
                };
                timeout(PATIENCE, publishing).await
            })
        }
    };
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| thread::spawn(publish(worker)))
        .collect();
    for worker in workers {
        worker
            .join()
            .unwrap()
            .expect("all publications are answered");
    }
    let heard = stage.heard.messages();
    assert_eq!(heard.len(), WORKERS * ROUNDS * AT_ONCE);
    let mut last = BTreeMap::new();
    for (index, text) in texts(&heard).into_iter().enumerate() {
        assert_eq!(heard[index].position().offset.0, index as u64 + 1);
        let numbers: Vec<usize> = text.split(' ').map(|word| word.parse().unwrap()).collect();
        let before = last.insert(numbers[0], numbers[1..].to_vec());
        assert!(
            before < last.get(&numbers[0]).cloned(),
            "{text} is out of its order"
        );
    }
}

#[tokio::test]
async fn what_waits_is_bounded_in_number() {
    let stage = DiskStage::new();
    let turn = stage.engine.queue.turn_of_thread(Duration::ZERO).unwrap();
    let mut answers = Vec::new();
    let refused = loop {
        match stage.engine.queue.add(publication("news", "a")) {
            Ok(answer) => answers.push(answer),
            Err(error) => break error,
        }
        assert!(answers.len() < 100_000);
    };
    assert!(
        matches!(refused, EngineError::Overloaded { .. }),
        "{refused}"
    );
    drop(turn);
    stage.engine.queue.call_thread();
    for published in join_all(answers).await {
        published.unwrap().unwrap();
    }
    stage.publish("news", "b").await;
}

#[tokio::test]
async fn writes_and_what_waits_for_them_are_counted() {
    for durability in [Durability::Process, Durability::Power] {
        let stage = DiskStage::with(|settings| settings.durability = durability);
        let figures = || stage.engine.figures().writes.unwrap();
        assert_eq!(figures(), WriteFigures::default());
        stage.publish("news", "a").await;
        // Who writes answers before the write is counted.
        let is_counted = || figures().latency.count() == 1;
        wait_until("the write is counted", is_counted).await;
        // What is being written waits, too.
        let held = stage.engine.shared.no_reading();
        let answers = ["b", "c"].map(|text| {
            let answer = stage.engine.queue.add(publication("news", text));
            answer.unwrap()
        });
        stage.engine.queue.call_thread();
        let waiting = figures();
        assert_eq!((waiting.waiting, waiting.latency.count()), (2, 1));
        assert!(waiting.waiting_bytes > 2, "{waiting:?}");
        drop(held);
        for published in join_all(answers).await {
            published.unwrap().unwrap();
        }
        let waiting = figures();
        assert_eq!((waiting.waiting, waiting.waiting_bytes), (0, 0));
    }
}

#[tokio::test]
async fn a_fault_of_a_publisher_closes_nothing() {
    let stage = Arc::new(DiskStage::new());
    let publishing = Arc::clone(&stage);
    let failing = tokio::spawn(async move {
        let failing = async { panic!("a fault that is meant") };
        tokio::join!(publishing.publish("news", "a"), failing)
    });
    assert!(failing.await.is_err());
    stage.publish("news", "b").await;
    assert_eq!(texts(&stage.heard.messages()), ["a", "b"]);
}

/// Fails at the second message.
#[derive(Default)]
struct Failing(AtomicUsize);

impl Deliver for Failing {
    fn deliver(&self, _: Arc<EncodedMessage>) -> u64 {
        assert_eq!(
            self.0.fetch_add(1, Ordering::Relaxed),
            0,
            "the second message"
        );
        1
    }

    fn presence(&self, _: &ChannelName, _: NumberedChange) {}

    fn lost(&self, _: &ChannelName) {}
}

#[tokio::test]
async fn after_a_fault_of_the_broker_nobody_waits_for_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let engine = DiskEngine::open(settings(directory.path()), clock, Arc::<Failing>::default());
    let engine = Arc::new(engine.unwrap());
    engine.publish(publication("news", "a")).await.unwrap();
    let publishing = Arc::clone(&engine);
    let failing = tokio::spawn(async move { publishing.publish(publication("news", "b")).await });
    // Who wrote it fails: the publisher, or the thread where the disk has just been slow.
    let failed = failing.await.map_or(true, |answer| answer.is_err());
    assert!(failed);
    let refused = timeout(PATIENCE, engine.publish(publication("news", "c"))).await;
    refused.expect("an answer").unwrap_err();
}
