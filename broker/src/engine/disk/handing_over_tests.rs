//! What is read while messages are on the disk already, but not with subscribers yet.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;
use widecast_protocol::EncodedMessage;

use super::tests::settings;
use super::*;
use crate::engine::conformance::{ALL, name, publication, texts};
use crate::engine::{HistoryLimits, ManualClock, NumberedChange};

/// For how long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands messages of the channel `gate` over only once it is told to; then nothing behind them is handed over, either.
struct Gate {
    reached: Sender<()>,
    open: Mutex<Receiver<()>>,
}

impl Deliver for Gate {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        if message.message().channel == name("gate") {
            let _ = self.reached.send(());
            let _ = self.open.lock().unwrap().recv_timeout(PATIENCE);
        }
        1
    }

    fn presence(&self, _: &ChannelName, _: NumberedChange) {}

    fn lost(&self, _: &ChannelName) {}
}

/// A message of a channel that keeps two.
fn short_lived(text: &str) -> Publication {
    let history = HistoryLimits {
        messages: 2,
        ..HistoryLimits::default()
    };
    Publication {
        history,
        ..publication("news", text)
    }
}

#[tokio::test]
async fn the_history_is_whole_also_while_newer_messages_are_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let (reached, at_gate) = mpsc::channel();
    let (opener, open) = mpsc::channel();
    let gate = Gate {
        reached,
        open: Mutex::new(open),
    };
    let settings = DiskSettings {
        // So that the past is read from the disk.
        memory: crate::engine::MemorySettings {
            history_bytes: 0,
            ..settings(directory.path()).memory
        },
        ..settings(directory.path())
    };
    let engine = Arc::new(DiskEngine::open(settings, clock, Arc::new(gate)).unwrap());
    let (news, limits) = (name("news"), HistoryLimits::default());
    let start = engine.position(&news, limits).await.unwrap();
    for text in ["a", "b"] {
        engine.publish(short_lived(text)).await.unwrap();
    }

    // While the thread stands at the gate, the next messages gather, and are written together: the first of them is for the gate.
    let mut answers = vec![engine.queue.add(publication("gate", "stop")).unwrap()];
    engine.queue.call_thread();
    at_gate.recv_timeout(PATIENCE).unwrap();
    let gathered = [
        publication("gate", "stop again"),
        short_lived("c"),
        short_lived("d"),
    ];
    answers.extend(gathered.map(|publication| engine.queue.add(publication).unwrap()));
    opener.send(()).unwrap();
    at_gate.recv_timeout(PATIENCE).unwrap();

    // Now the disk has "c" and "d" in place of "a" and "b", and nobody has heard of it.
    let query = HistoryQuery {
        since: None,
        limit: 10,
        order: HistoryOrder::OldestFirst,
    };
    let reader = Arc::clone(&engine);
    let mut page = tokio::spawn(async move { reader.history(&name("news"), query).await });
    let reader = Arc::clone(&engine);
    let replay = tokio::spawn(async move { reader.replay(&name("news"), start, ALL).await });
    // Whoever waits for the messages to be handed over is not done before; whoever does not is.
    let early = timeout(Duration::from_millis(300), &mut page).await;
    opener.send(()).unwrap();
    let page = match early {
        Ok(page) => page,
        Err(_) => page.await,
    };
    let page = page.unwrap().unwrap();
    assert_eq!(page.messages.len(), 2, "{:?}", texts(&page.messages));
    let replay = replay.await.unwrap().unwrap();
    assert!(!replay.recovered);
    assert_eq!(
        replay.position.offset.0, 4,
        "the history had all of the first two"
    );
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
}
