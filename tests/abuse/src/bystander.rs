//! A well-behaved application beside the attack: it publishes, subscribes on two transports, and must hear everything.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use widecast_tests::{Broker, Heard, Join, Subscriber, Transport, within};

/// The channel of the bystander. Abuses have others.
pub const CHANNEL: &str = "bystander";

/// How often it publishes.
const PAUSE: Duration = Duration::from_millis(50);

/// Its subscribers. Each has a connection of its own, and so has each publication that finds none idle.
const TRANSPORTS: [Transport; 2] = [Transport::RawSse, Transport::JsonWebSocket];

/// Somebody who only wants to be served.
pub struct Bystander {
    subscribers: Vec<Subscriber>,
}

/// What it was like to be served beside an attack.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// How many messages were published, and heard by all.
    pub messages: u64,
    /// The longest that a publication took to be answered.
    pub slowest: Duration,
}

impl Bystander {
    /// Subscribes.
    ///
    /// # Errors
    /// When the broker does not let it.
    pub async fn join(broker: &Broker) -> Result<Self> {
        let mut subscribers = Vec::new();
        for transport in TRANSPORTS {
            subscribers.push(broker.join(transport, &Join::channel(CHANNEL)).await?);
        }
        Ok(Self { subscribers })
    }

    /// Publishes until it is told to stop, and then waits for all messages to be heard.
    ///
    /// # Errors
    /// When a publication is refused, or anything is lost, doubled or out of order.
    pub async fn live(self, broker: &Broker, stop: watch::Receiver<bool>) -> Result<Served> {
        let (last, known) = watch::channel(None);
        let hearing = self.subscribers.into_iter();
        let hearing = hearing.map(|subscriber| hear(subscriber, known.clone()));
        let publishing = async {
            let served = publish(broker, stop).await?;
            last.send_replace(Some(served.messages));
            Ok(served)
        };
        let (served, _) =
            tokio::try_join!(publishing, futures_util::future::try_join_all(hearing))?;
        Ok(served)
    }
}

async fn publish(broker: &Broker, stop: watch::Receiver<bool>) -> Result<Served> {
    let publisher = broker.publisher();
    let (mut messages, mut slowest) = (0, Duration::ZERO);
    // One more after the attack, so that whoever has lost something learns it.
    loop {
        let is_last = *stop.borrow();
        messages += 1;
        let begun = Instant::now();
        let answer = publisher.publish(CHANNEL, messages);
        within("a publication of the bystander", answer).await?;
        slowest = slowest.max(begun.elapsed());
        if is_last {
            return Ok(Served { messages, slowest });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hears 1, 2, 3… up to the last.
async fn hear(mut subscriber: Subscriber, mut last: watch::Receiver<Option<u64>>) -> Result<()> {
    let transport = subscriber.transport();
    let mut next = 1;
    loop {
        if last.borrow_and_update().is_some_and(|last| next > last) {
            return Ok(());
        }
        let heard = tokio::select! {
            heard = subscriber.next() => heard,
            changed = last.changed() => {
                changed.context("the bystander has stopped publishing")?;
                continue;
            }
        };
        match heard.with_context(|| format!("{transport:?} of the bystander, message {next}"))? {
            Heard::Message(message) if number(&message.data) == Some(next) => next += 1,
            other => bail!("{transport:?} of the bystander expected {next}, and heard {other:?}"),
        }
    }
}

/// What a message says: bare data is a text.
fn number(data: &Value) -> Option<u64> {
    let text = data.as_str().and_then(|text| text.parse().ok());
    data.as_u64().or(text)
}
