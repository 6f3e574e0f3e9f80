//! A subscriber that checks what it is told while publishers and servers do their worst.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;

use crate::{Broker, Heard, Join, Subscriber, Transport, eventually};

/// The message that [`while_publishing`] publishes last.
const THE_END: &str = "the end";

/// Everything that a subscriber was told, checked as it comes: one after the other, unless a gap is told.
pub struct Witness {
    channel: String,
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
            channel: channel.to_owned(),
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

    /// Makes sure that it heard what was acknowledged once, or was told of a gap.
    fn check(&self, acknowledged: &[String]) -> Result<()> {
        for text in acknowledged {
            let times = self.heard.iter().filter(|heard| *heard == text).count();
            ensure!(times <= 1, "{text:?} was heard {times} times");
            // It fails when it lacks something in the middle and was not told.
            ensure!(times == 1 || self.gaps > 0, "{text:?} was not heard");
        }
        Ok(())
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

/// Lets something happen while somebody publishes at each of these brokers, in this channel. Then the end is published in their
/// channels, and the witnesses listen until they have heard it.
///
/// # Errors
/// When anything fails, or a witness did not hear once what was acknowledged in its channel and was not told of a gap.
pub async fn while_publishing(
    publishers: &[(&Broker, &str)],
    witnesses: Vec<Witness>,
    happening: impl Future<Output = Result<()>>,
) -> Result<Vec<Witness>> {
    let over = AtomicBool::new(false);
    let happening = async {
        happening.await?;
        over.store(true, Ordering::Relaxed);
        Ok(())
    };
    let publishing = async {
        let each = publishers
            .iter()
            .enumerate()
            .map(async |(number, &(broker, channel))| {
                publish_until(broker, channel, &format!("publisher {number}:"), &over).await
            });
        let acknowledged = try_join_all(each).await?;
        for &(broker, channel) in publishers {
            broker.publisher().publish(channel, THE_END).await?;
        }
        Ok(acknowledged)
    };
    let listening = witnesses.into_iter();
    let listening = listening.map(|witness| witness.listen_until(THE_END));
    let (acknowledged, witnesses, ()) =
        tokio::try_join!(publishing, try_join_all(listening), happening)?;
    for ((_, channel), acknowledged) in publishers.iter().zip(&acknowledged) {
        let there = witnesses.iter();
        for witness in there.filter(|witness| witness.channel == *channel) {
            witness.check(acknowledged)?;
        }
    }
    Ok(witnesses)
}

/// Waits until a broker has published some more.
///
/// # Errors
/// When it does not.
pub async fn until_more_are_published(broker: &Broker) -> Result<()> {
    let published = async || {
        let metrics = broker.metrics().await?;
        anyhow::Ok(metrics.value("widecast_messages_published_total"))
    };
    let before = published().await?;
    eventually("some are published", async || {
        Ok(published().await? >= before + 50.0)
    })
    .await
}
