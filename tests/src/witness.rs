//! A subscriber that checks what it is told while publishers and servers do their worst.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Broker, Heard, Join, Subscriber, Transport};

/// Everything that a subscriber was told, checked as it comes: one after the other, unless a gap is told.
pub struct Witness {
    subscriber: Subscriber,
    last: Option<(String, u64)>,
    may_jump: bool,
    /// The messages.
    pub heard: Vec<Value>,
    /// How many gaps were told.
    pub gaps: usize,
}

impl Witness {
    /// Joins a channel.
    ///
    /// # Errors
    /// When that fails.
    pub async fn join(broker: &Broker, channel: &str) -> Result<Self> {
        let join = Join::channel(channel);
        let subscriber = broker.join(Transport::JsonWebSocket, &join).await?;
        let start = subscriber.cursor();
        Ok(Self {
            last: start.as_deref().and_then(place),
            subscriber,
            may_jump: false,
            heard: Vec::new(),
            gaps: 0,
        })
    }

    /// Listens until it hears this.
    ///
    /// # Errors
    /// When it hears something in a wrong order, or lacks something without having been told.
    pub async fn listen_until(mut self, end: &str) -> Result<Self> {
        loop {
            match self.subscriber.listen().await? {
                Heard::Message(message) => {
                    let cursor = self.subscriber.cursor().context("a cursor")?;
                    let (epoch, offset) = place(&cursor).context("a cursor of one channel")?;
                    if let Some((last_epoch, last)) = &self.last {
                        let is_next = *last_epoch == epoch && offset == last + 1;
                        let is_later = *last_epoch != epoch || offset > *last;
                        if !(is_next || self.may_jump && is_later) {
                            bail!("heard {cursor} after {last_epoch}-{last} without a word");
                        }
                    }
                    self.last = Some((epoch, offset));
                    self.may_jump = false;
                    let is_end = message.data == end;
                    self.heard.push(message.data);
                    if is_end {
                        return Ok(self);
                    }
                }
                Heard::Gap { .. } => {
                    self.gaps += 1;
                    self.may_jump = true;
                }
                Heard::Frame(_) => {}
                Heard::Closed { code, reason } => bail!("closed: {code:?} {reason}"),
            }
        }
    }
}

fn place(cursor: &str) -> Option<(String, u64)> {
    let (epoch, offset) = cursor.split_once('-')?;
    Some((epoch.to_owned(), offset.parse().ok()?))
}

/// Publishes one message after the other until it is over; returns those that were acknowledged.
///
/// # Errors
/// When the broker answers something else than that it has published the message, or cannot now.
pub async fn publish_until(
    broker: &Broker,
    channel: &str,
    name: &str,
    over: &AtomicBool,
) -> Result<Vec<String>> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("{name} {number}");
        let path = format!("/channels/{channel}/messages");
        let answer = broker
            .post(&path, "text/plain", text.clone().into())
            .await?;
        match answer.status {
            200 => acknowledged.push(text),
            503 => tokio::time::sleep(Duration::from_millis(5)).await,
            status => bail!("{status}: {:?}", answer.body),
        }
    }
    Ok(acknowledged)
}
