//! The channels that all nodes know together.
//!
//! Their names stand in one index, which is cleared of those that are not in use any more by whoever reads it.

use widecast_protocol::{ChannelName, Epoch, Offset, Position};

use super::link::Repeat;
use super::scripts::call;
use super::wire::Number;
use super::{RedisEngine, Shared};
use crate::engine::{ChannelInfo, ChannelQuery, Directory, EngineError, EngineFuture, renew};

/// How many names are looked at with one command.
const NAMES_AT_ONCE: usize = 256;

/// How a channel is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It has subscribers, members or history.
    Live,
    /// It is only remembered.
    Remembered,
    /// It is forgotten.
    Forgotten,
}

impl Shared {
    /// The channel may be in use.
    pub(super) async fn list(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let make = |_: &str| {
            let mut command = redis::cmd("ZADD");
            command
                .arg(self.keys.channels())
                .arg(0)
                .arg(channel.as_str());
            command
        };
        self.link.ask::<u64>(Repeat::Yes, make).await.map(drop)
    }

    /// The same for who has done its work already: should this fail, the next heartbeat of whoever hears the channel does it.
    pub(super) async fn list_later(&self, channel: &ChannelName) {
        if let Err(error) = self.list(channel).await {
            tracing::debug!(
                channel.name = channel.as_str(),
                error = &error as &dyn std::error::Error,
                "a channel could not be listed"
            );
        }
    }

    async fn names_after(&self, from: &str, prefix: &str) -> Result<Vec<ChannelName>, EngineError> {
        let make = |_: &str| {
            let mut command = redis::cmd("ZRANGEBYLEX");
            command.arg(self.keys.channels()).arg(from).arg("+");
            command.arg(&["LIMIT", "0"]).arg(NAMES_AT_ONCE);
            command
        };
        let names: Vec<String> = self.link.ask(Repeat::Yes, make).await?;
        let names = names.iter().take_while(|name| name.starts_with(prefix));
        Ok(names
            .filter_map(|name| ChannelName::parse(name).ok())
            .collect())
    }

    /// How each of these channels is used.
    async fn uses(&self, names: &[ChannelName]) -> Result<Vec<Use>, EngineError> {
        let mut pipeline = redis::pipe();
        for name in names {
            let (history, ids) = (self.keys.history(name), self.keys.ids(name));
            pipeline.cmd("EXISTS").arg(history).arg(ids);
            pipeline.cmd("EXISTS").arg(self.keys.state(name));
            pipeline.add_command(self.pubsub.count(&self.keys.topic(name)));
        }
        let answers: Vec<redis::Value> = self.link.ask_all(&pipeline).await?;
        let uses = answers.chunks_exact(3).map(|answers| {
            let is_some =
                |value: &redis::Value| !matches!(value, redis::Value::Int(0) | redis::Value::Nil);
            let is_heard = match &answers[2] {
                redis::Value::Array(heard) => heard.get(1).is_some_and(is_some),
                redis::Value::Map(heard) => heard.first().is_some_and(|(_, nodes)| is_some(nodes)),
                _ => false,
            };
            match (is_some(&answers[0]) || is_heard, is_some(&answers[1])) {
                (true, _) => Use::Live,
                (false, true) => Use::Remembered,
                (false, false) => Use::Forgotten,
            }
        });
        Ok(uses.collect())
    }

    async fn channels_in_use(&self, query: &ChannelQuery) -> Result<Vec<ChannelName>, EngineError> {
        self.link.within_deadline(self.listening.settled()).await?;
        let mut found = Vec::new();
        let mut from = match &query.after {
            Some(after) if after.as_str() >= query.prefix.as_str() => format!("({after}"),
            _ => format!("[{}", query.prefix),
        };
        loop {
            let names = self.names_after(&from, &query.prefix).await?;
            let Some(last) = names.last() else {
                return Ok(found);
            };
            from = format!("({last}");
            let uses = self.uses(&names).await?;
            // There may be many pages.
            renew();
            for (name, how) in names.into_iter().zip(uses) {
                match how {
                    Use::Live if found.len() == query.limit => return Ok(found),
                    Use::Live => found.push(name),
                    Use::Remembered => {}
                    Use::Forgotten => {
                        self.unlist(&name).await?;
                        renew();
                    }
                }
            }
        }
    }

    async fn unlist(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let make = |_: &str| {
            let mut command = redis::cmd("ZREM");
            command.arg(self.keys.channels()).arg(channel.as_str());
            command
        };
        self.link.ask::<u64>(Repeat::Yes, make).await?;
        // Somebody may have begun it between the look and this.
        if self.uses(std::slice::from_ref(channel)).await? != [Use::Forgotten] {
            self.list(channel).await?;
        }
        Ok(())
    }

    async fn info_of_ephemeral(
        &self,
        channel: &ChannelName,
    ) -> Result<Option<ChannelInfo>, EngineError> {
        if self.uses(std::slice::from_ref(channel)).await? != [Use::Live] {
            return Ok(None);
        }
        let make = |_: &str| {
            let mut command = redis::cmd("ZCARD");
            command.arg(self.keys.ids(channel));
            command
        };
        Ok(Some(ChannelInfo {
            position: self.end_of_ephemeral(channel),
            history_messages: 0,
            history_bytes: 0,
            members: self.link.ask(Repeat::Yes, make).await?,
        }))
    }

    async fn info(&self, channel: &ChannelName) -> Result<Option<ChannelInfo>, EngineError> {
        if self.is_ephemeral(channel) {
            return self.info_of_ephemeral(channel).await;
        }
        let keys = [
            self.keys.state(channel),
            self.keys.history(channel),
            self.keys.ids(channel),
        ];
        let make = |process: &str| {
            let mut command = call(&self.link.scripts.info, &keys);
            command.arg(process);
            command
        };
        let answer: Vec<Number> = self.link.ask(Repeat::Yes, make).await?;
        let [epoch, offset, messages, bytes, members] = *answer else {
            return Ok(None);
        };
        Ok(Some(ChannelInfo {
            position: Position {
                epoch: Epoch(epoch.0),
                offset: Offset(offset.0),
            },
            history_messages: messages.0,
            history_bytes: bytes.0,
            members: members.0,
        }))
    }
}

impl Directory for RedisEngine {
    fn channels(&self, query: ChannelQuery) -> EngineFuture<'_, Vec<ChannelName>> {
        let shared = &self.shared;
        shared
            .link
            .in_time(async move { shared.channels_in_use(&query).await })
    }

    fn channel_info<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> EngineFuture<'a, Option<ChannelInfo>> {
        self.shared.link.in_time(self.shared.info(channel))
    }
}
