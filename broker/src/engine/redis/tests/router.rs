//! A broker whose channels are on several servers, or on the parts of a cluster.

use std::sync::Arc;

use widecast_protocol::Position;

use super::node::Told;
use crate::engine::conformance::{ALL, name, publication, texts};
use crate::engine::{
    ChannelQuery, Deliver, Directory, EngineRouter, HistoryLimits, Interest, Lifecycle, MessageLog,
    RedisStartError,
};

pub(super) struct Broker {
    pub(super) engine: EngineRouter,
    pub(super) told: Arc<Told>,
}

impl Broker {
    /// The engine is started with what is to be told.
    pub(super) async fn try_start(
        start: impl AsyncFnOnce(&Arc<dyn Deliver>) -> Result<EngineRouter, RedisStartError>,
    ) -> Result<Self, RedisStartError> {
        let told = Arc::new(Told::default());
        let deliver: Arc<dyn Deliver> = told.clone();
        let engine = start(&deliver).await?;
        Ok(Self { engine, told })
    }

    pub(super) async fn position(&self, channel: &str) -> Position {
        let limits = HistoryLimits::default();
        self.engine.position(&name(channel), limits).await.unwrap()
    }

    pub(super) async fn hear(&self, channel: &str) {
        self.engine.interested(&name(channel)).await.unwrap();
        self.position(channel).await;
    }

    pub(super) async fn publish(&self, channel: &str, text: &str) -> Position {
        let published = self.engine.publish(publication(channel, text)).await;
        published.unwrap().position
    }

    /// The texts after a position, if nothing is lost.
    pub(super) async fn texts_after(&self, channel: &str, since: Position) -> Option<Vec<String>> {
        let replay = self.engine.replay(&name(channel), since, ALL).await;
        let replay = replay.unwrap();
        let found = texts(&replay.messages).into_iter().map(str::to_owned);
        replay.recovered.then(|| found.collect())
    }

    /// The names of all channels.
    pub(super) async fn channels(&self) -> Vec<String> {
        let query = ChannelQuery {
            prefix: String::new(),
            after: None,
            limit: 100,
        };
        let found = self.engine.channels(query).await.unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    /// Which of its servers it can use and hears everything from.
    pub(super) fn ready(&self) -> Vec<bool> {
        let servers = self.engine.servers();
        servers.iter().map(|server| server.is_ready).collect()
    }
}
