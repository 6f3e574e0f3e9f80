//! Channels whose messages are only for those who hear them when they come.
//!
//! Nothing of such a message is kept, so that it needs no script: a bare `PUBLISH` gives all nodes the same order. Each node counts
//! by itself what it hears, and its positions mean nothing elsewhere.

use std::collections::HashMap;

use widecast_protocol::{ChannelName, Epoch, Offset, Position, record};

use super::Shared;
use super::link::Repeat;
use super::scripts::call;
use super::settings::milliseconds;
use super::wire::NOWHERE;
use crate::engine::{Clock, EngineError, HistoryPage, Publication, Published, Replay, SystemClock};

/// Which channels are ephemeral, by their namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EphemeralChannels {
    /// Whether the channels of each named namespace are.
    pub named: HashMap<String, bool>,
    /// Whether all others are.
    pub others: bool,
}

impl EphemeralChannels {
    /// Whether a channel is one of them.
    pub(super) fn contains(&self, channel: &ChannelName) -> bool {
        let named = channel.namespace().and_then(|name| self.named.get(name));
        named.copied().unwrap_or(self.others)
    }
}

impl Shared {
    /// Whether nothing of a channel's messages is kept.
    pub(super) fn is_ephemeral(&self, channel: &ChannelName) -> bool {
        self.settings.ephemeral.contains(channel)
    }

    pub(super) async fn publish_ephemeral(
        &self,
        publication: Publication,
    ) -> Result<Published, EngineError> {
        let channel = publication.channel.clone();
        let tag = self.listening.next_tag();
        let heard = self.listening.expect(&channel, tag);
        let told = self.tell_ephemeral(publication, tag).await;
        if !matches!(told, Ok(true)) {
            self.listening.expect_no_longer(&channel, tag);
        }
        let at_the_end = |duplicate| Published {
            position: self.end_of_ephemeral(&channel),
            duplicate,
            subscribers: 0,
        };
        if !told? {
            return Ok(at_the_end(true));
        }
        // The message is published, whatever becomes of this.
        let heard = match heard {
            Some(heard) => self.link.within_deadline(heard).await.ok(),
            None => None,
        };
        Ok(match heard {
            Some(Ok((position, subscribers))) => Published {
                position,
                duplicate: false,
                subscribers,
            },
            _ => at_the_end(false),
        })
    }

    /// Returns whether the message was told: it may be a repetition.
    async fn tell_ephemeral(
        &self,
        publication: Publication,
        tag: u64,
    ) -> Result<bool, EngineError> {
        let (topic, publish) = (self.keys.topic(&publication.channel), self.pubsub.publish());
        let key = publication.idempotency_key.as_ref();
        let key = key.map(|key| self.keys.idempotency(&publication.channel, key));
        let told = of_topic(publication, tag);
        let Some(key) = key else {
            let make = |_: &str| {
                let mut command = redis::cmd(publish);
                command.arg(&topic).arg(&told);
                command
            };
            return self.link.ask::<u64>(Repeat::No, make).await.map(|_| true);
        };
        let make = |_: &str| {
            let mut command = call(&self.link.scripts.once, &[&key]);
            command.arg(&topic).arg(publish).arg(&told);
            command.arg(milliseconds(self.settings.idempotency_window));
            command.arg(tag);
            command
        };
        self.link.ask(Repeat::Yes, make).await
    }

    /// How far this node has heard a channel.
    pub(super) fn end_of_ephemeral(&self, channel: &ChannelName) -> Position {
        let end = self.listening.end_of_ephemeral(channel);
        end.unwrap_or_else(new_beginning)
    }

    /// What a session that is at `since` has missed: nothing, or nobody knows.
    pub(super) fn replay_ephemeral(&self, channel: &ChannelName, since: Position) -> Replay {
        let position = self.end_of_ephemeral(channel);
        Replay {
            messages: Vec::new(),
            recovered: since == position,
            position,
            complete: true,
        }
    }

    /// The history, which is empty.
    pub(super) fn history_of_ephemeral(
        &self,
        channel: &ChannelName,
        since: Option<Position>,
    ) -> HistoryPage {
        let position = self.end_of_ephemeral(channel);
        HistoryPage {
            messages: Vec::new(),
            recovered: since.is_none_or(|since| since == position),
            position,
        }
    }
}

/// Where a channel begins that was not heard before.
pub(super) fn new_beginning() -> Position {
    Position {
        epoch: Epoch(rand::random()),
        offset: Offset(0),
    }
}

/// What is told on the channel's topic.
fn of_topic(publication: Publication, tag: u64) -> Vec<u8> {
    let message = publication.at(NOWHERE, SystemClock.wall_ms());
    let mut told = format!("e{tag} ").into_bytes();
    told.extend_from_slice(&record::encode(&message, None));
    told
}
