//! Subscribers come and go during a publish storm. An oracle checks that each hears every message exactly once from its
//! first join on, or is told of a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use widecast_tests::{Broker, Heard, Join, PATIENCE, Settings, Transport, eventually};

/// After this many messages the clients may go.
const MESSAGES: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_heard_exactly_once() -> Result<()> {
    storm("deep:storm", 24).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_heard_once_or_told_as_a_gap() -> Result<()> {
    storm("shallow:storm", 24).await
}

async fn storm(channel: &'static str, subscribers: usize) -> Result<()> {
    let settings = Settings::new()
        .workers(2)
        .history("deep", 10_000, 64 << 20)
        .history("shallow", 5, 1 << 20)
        .script_access("deep")
        .script_access("shallow");
    let broker = Arc::new(Broker::with(settings).await?);
    let epoch = broker.end_of(channel).await?;
    let epoch = epoch.split_once('-').context("epoch-offset")?.0.to_owned();
    let heard = Arc::new(AtomicU64::new(0));
    let mut listening = JoinSet::new();
    for number in 0..subscribers {
        let client = Client {
            broker: broker.clone(),
            channel,
            transport: Transport::ALL[number % Transport::ALL.len()],
            dice: Dice(number as u64 + 1),
            oracle: Oracle::default(),
            epoch: epoch.clone(),
            heard: Arc::clone(&heard),
        };
        listening.spawn(client.come_and_go());
    }
    let all = async {
        while let Some(result) = listening.join_next().await {
            let (transport, gaps) = result??;
            if channel.starts_with("deep") {
                assert_eq!(
                    gaps, 0,
                    "{transport:?} was told a gap though the history is deep"
                );
            }
        }
        Ok(())
    };
    let publisher = broker.publisher();
    // Whoever is told of a gap at the very end hears nothing more: messages come until all have heard enough. They no longer
    // come in a storm, which could outrun a client that has to poll: each of them comes when somebody listens.
    let storm = async {
        for number in 1_u64.. {
            if number > MESSAGES {
                let listens = async || Ok(broker.subscribers(channel).await? > 0);
                eventually("somebody listens", listens).await?;
            }
            publisher.publish(channel, json!([number])).await?;
        }
        Ok(())
    };
    tokio::select! {
        finished = all => finished,
        stopped = storm => stopped,
        () = silence(&heard) => bail!("nobody has heard anything for {PATIENCE:?}"),
    }
}

/// Ends when nobody has heard a message for a while. How long a storm takes depends on the machine.
async fn silence(heard: &AtomicU64) {
    let mut before = None;
    while before != Some(heard.load(Ordering::Relaxed)) {
        before = Some(heard.load(Ordering::Relaxed));
        tokio::time::sleep(PATIENCE).await;
    }
}

/// What one client must have heard.
#[derive(Default)]
struct Oracle {
    /// The number of the newest message that was heard, once there is a place to begin.
    last: Option<u64>,
    /// Messages may be missing before the next one, because the broker said so.
    gap_told: bool,
    gaps: usize,
}

impl Oracle {
    fn hear(&mut self, number: u64) {
        if let Some(last) = self.last {
            assert!(number > last, "{number} after {last}: a duplicate");
            assert!(
                number == last + 1 || self.gap_told,
                "{number} after {last}: lost without a word"
            );
        }
        self.last = Some(number);
        self.gap_told = false;
    }

    fn has_heard_enough(&self) -> bool {
        self.last.is_some_and(|last| last >= MESSAGES)
    }

    fn gap(&mut self) {
        self.gap_told = true;
        self.gaps += 1;
    }
}

struct Client {
    broker: Arc<Broker>,
    channel: &'static str,
    transport: Transport,
    dice: Dice,
    oracle: Oracle,
    epoch: String,
    /// How many messages all clients have heard.
    heard: Arc<AtomicU64>,
}

impl Client {
    /// Joins, hears a few messages, vanishes, and comes back with its cursor, until it has heard enough.
    async fn come_and_go(mut self) -> Result<(Transport, usize)> {
        let mut cursor = None;
        while !self.oracle.has_heard_enough() {
            let mut join = Join::channel(self.channel);
            join.cursor = cursor.take();
            let resumes = join.cursor.is_some();
            let mut subscriber = self.broker.join(self.transport, &join).await?;
            if !resumes && !self.transport.shows_more_than_data() {
                // A plain WebSocket learns where it is from its first message.
                self.oracle.last = None;
            }
            let mut ended = false;
            for _ in 0..self.dice.throw(60) {
                if self.oracle.has_heard_enough() {
                    break;
                }
                match subscriber.next().await? {
                    Heard::Message(message) => {
                        self.oracle.hear(number(&message.data)?);
                        self.heard.fetch_add(1, Ordering::Relaxed);
                    }
                    Heard::Gap { .. } => self.oracle.gap(),
                    Heard::Closed {
                        code: Some(4410), ..
                    } => {
                        self.oracle.gap();
                        ended = true;
                        break;
                    }
                    other => bail!("{:?} heard {other:?}", self.transport),
                }
            }
            let told = self
                .oracle
                .last
                .map(|last| format!("{}-{last}", self.epoch));
            // After a gap the plain WebSocket has no way to go on but to begin anew.
            cursor = if ended {
                None
            } else {
                subscriber.cursor().or(told)
            };
            subscriber.kill();
        }
        Ok((self.transport, self.oracle.gaps))
    }
}

fn number(data: &Value) -> Result<u64> {
    data[0]
        .as_u64()
        .with_context(|| format!("not a message of the storm: {data}"))
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    /// From 1 to `most`.
    fn throw(&mut self, most: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most + 1
    }
}
