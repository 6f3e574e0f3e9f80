//! The messages of each channel.

use widecast_protocol::{ChannelName, Epoch, Offset, Position, record};

use redis::Cmd;

use super::link::Repeat;
use super::scripts::call;
use super::settings::milliseconds;
use super::wire::{NOWHERE, Number, Placed, Reading};
use super::{RedisEngine, Shared};
use crate::engine::{
    EngineError, EngineFuture, HistoryLimits, HistoryOrder, HistoryPage, HistoryQuery, Lifecycle,
    MessageLog, Portion, Publication, Published, PublishedInOrder, Replay, renew, with_patience,
};

/// No more is read at once than this, whatever is asked for: `usize::MAX` is no number of Lua's.
const MOST: u64 = 1 << 40;

/// What a script is told of which part of the history to read.
struct Part {
    kind: &'static str,
    since: Option<Position>,
    messages: u64,
    bytes: u64,
}

impl Shared {
    async fn publish(&self, publication: Publication) -> Result<Published, EngineError> {
        if self.is_ephemeral(&publication.channel) {
            return self.publish_ephemeral(publication).await;
        }
        let channel = publication.channel.clone();
        let repeat = repeat_of(&publication);
        let make = self.publish_command(publication);
        let placed: Placed = self.link.ask_for_good(repeat, make).await?;
        Ok(self.published(&channel, placed).await)
    }

    /// Publishes messages of one channel together, in their order.
    async fn publish_in_order(
        &self,
        publications: Vec<Publication>,
    ) -> Vec<Result<Published, EngineError>> {
        let Some(first) = publications.first() else {
            return Vec::new();
        };
        let (channel, repeat) = (first.channel.clone(), repeat_of(first));
        let count = publications.len();
        let commands = publications.into_iter();
        let commands = commands.map(|publication| self.publish_command(publication));
        let commands: Vec<_> = commands.collect();
        let placed = self.link.ask_in_order_for_good(repeat, &commands).await;
        let placed: Vec<Result<Placed, EngineError>> = match placed {
            Ok(placed) => placed,
            Err(error) => return vec![Err(error); count],
        };
        let mut outcomes = Vec::with_capacity(count);
        for placed in placed {
            outcomes.push(match placed {
                Ok(placed) => Ok(self.published(&channel, placed).await),
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    /// What a message is published as that has this place, once it is heard here.
    async fn published(&self, channel: &ChannelName, placed: Placed) -> Published {
        let position = placed.position;
        if placed.begins {
            self.list_later(channel).await;
        }
        if !placed.is_new {
            return Published {
                position,
                duplicate: true,
                subscribers: 0,
            };
        }
        // The message is published, whatever becomes of this.
        let heard = self.listening.until_message(channel, position);
        let subscribers = self.link.within_deadline(heard).await.unwrap_or_default();
        Published {
            position,
            duplicate: false,
            subscribers,
        }
    }

    fn publish_command(&self, publication: Publication) -> impl Fn(&str) -> Cmd + use<> {
        let Publication {
            channel,
            history,
            idempotency_key,
            ..
        } = &publication;
        let (limits, keep) = (*history, milliseconds(self.settings.idle_grace));
        let mut keys = vec![self.keys.state(channel), self.keys.history(channel)];
        let key = idempotency_key.as_ref();
        keys.extend(key.map(|key| self.keys.idempotency(channel, key)));
        let topic = self.keys.topic(channel);
        let key = publication.idempotency_key.clone();
        // The server gives it its place and its time.
        let message = publication.at(NOWHERE, 0);
        let record = record::encode(&message, key.as_ref());
        let (script, publish) = (self.link.scripts.publish.clone(), self.pubsub.publish());
        let new_epoch: u64 = rand::random();
        let window = milliseconds(self.settings.idempotency_window);
        move |process| {
            let mut command = call(&script, &keys);
            command.arg(process).arg(new_epoch).arg(keep);
            command.arg(&record).arg(&topic).arg(publish);
            command.arg((limits.messages as u64).min(MOST));
            command.arg(limits.bytes.min(MOST));
            command.arg(milliseconds(limits.age));
            if keys.len() > 2 {
                command.arg(window);
            }
            command
        }
    }

    async fn position(
        &self,
        channel: &ChannelName,
        limits: HistoryLimits,
    ) -> Result<Position, EngineError> {
        if self.is_ephemeral(channel) {
            return Ok(self.end_of_ephemeral(channel));
        }
        let keys = [self.keys.state(channel), self.keys.history(channel)];
        let new_epoch: u64 = rand::random();
        let make = |process: &str| {
            let mut command = call(&self.link.scripts.position, &keys);
            let keep = milliseconds(self.settings.idle_grace);
            command.arg(process).arg(new_epoch).arg(keep);
            command.arg(milliseconds(limits.age));
            command
        };
        let (epoch, offset, begins): (Number, Number, u8) =
            self.link.ask(Repeat::Yes, make).await?;
        let position = Position {
            epoch: Epoch(epoch.0),
            offset: Offset(offset.0),
        };
        if begins == 1 {
            self.list_later(channel).await;
        }
        self.listening.begins_at(channel, position);
        Ok(position)
    }

    async fn read(&self, channel: &ChannelName, part: &Part) -> Result<Reading, EngineError> {
        let keys = [self.keys.state(channel), self.keys.history(channel)];
        let new_epoch: u64 = rand::random();
        let make = |process: &str| {
            let mut command = call(&self.link.scripts.read, &keys);
            let keep = milliseconds(self.settings.idle_grace);
            command.arg(process).arg(new_epoch).arg(keep).arg(part.kind);
            match part.since {
                Some(since) => command.arg(since.epoch.0).arg(since.offset.0),
                None => command.arg("").arg(""),
            };
            command
                .arg(part.messages.min(MOST))
                .arg(part.bytes.min(MOST));
            command
        };
        self.link.ask(Repeat::Yes, make).await
    }
}

/// Whether a publication whose answer was lost may be sent again.
fn repeat_of(publication: &Publication) -> Repeat {
    match publication.idempotency_key {
        Some(_) => Repeat::Yes,
        None => Repeat::No,
    }
}

impl MessageLog for RedisEngine {
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published> {
        self.shared.link.in_time(self.shared.publish(publication))
    }

    fn publish_in_order(&self, publications: Vec<Publication>) -> PublishedInOrder<'_> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(publications.len());
            let mut left = publications.into_iter().peekable();
            while let Some(first) = left.next() {
                if self.shared.is_ephemeral(&first.channel) {
                    let published = self.publish(first).await;
                    if published.is_ok() {
                        renew();
                    }
                    outcomes.push(published);
                    continue;
                }
                // What may be sent again is not kept from it by what may not.
                let repeat = repeat_of(&first);
                let mut group = vec![first];
                while let Some(next) = left.next_if(|next| repeat_of(next) == repeat) {
                    group.push(next);
                }
                let published = self.shared.publish_in_order(group);
                let published = with_patience(self.patience(), published).await;
                if published.iter().any(Result::is_ok) {
                    // The rest have as long as all of them: only silence is not waited for again and again.
                    renew();
                }
                outcomes.extend(published);
            }
            outcomes
        })
    }

    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position> {
        self.shared
            .link
            .in_time(self.shared.position(channel, limits))
    }

    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay> {
        Box::pin(async move {
            if self.shared.is_ephemeral(channel) {
                return Ok(self.shared.replay_ephemeral(channel, since));
            }
            let part = Part {
                kind: "replay",
                since: Some(since),
                messages: portion.messages as u64,
                bytes: portion.bytes,
            };
            let reading = self.shared.read(channel, &part).await?;
            if reading.recovered && portion.asks_for_messages() {
                let stored = reading.stored(channel)?;
                return Ok(Replay::of_stored(since, stored, reading.newest));
            }
            Ok(Replay {
                messages: Vec::new(),
                recovered: reading.recovered,
                position: reading.last,
                complete: reading.last == reading.newest,
            })
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage> {
        Box::pin(async move {
            if self.shared.is_ephemeral(channel) {
                return Ok(self.shared.history_of_ephemeral(channel, query.since));
            }
            let part = Part {
                kind: match query.order {
                    HistoryOrder::OldestFirst => "forward",
                    HistoryOrder::NewestFirst => "backward",
                },
                since: query.since,
                messages: query.limit as u64,
                bytes: MOST,
            };
            let reading = self.shared.read(channel, &part).await?;
            let stored = reading.stored(channel)?;
            Ok(HistoryPage::of_stored(
                stored,
                reading.recovered,
                reading.last,
            ))
        })
    }
}
