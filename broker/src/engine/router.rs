//! Several engines as one: each channel is in one of them, which its namespace or its name chooses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use widecast_protocol::{ChannelName, Position};

use super::{
    Announcement, Announcements, ChannelInfo, ChannelQuery, ConnectionId, Directory, Engine,
    EngineError, EngineFigures, EngineFuture, HistoryLimits, HistoryPage, HistoryQuery, Interest,
    Lifecycle, MemberList, MemberQuery, MemberStore, MessageLog, Portion, PresenceEntry,
    Publication, Published, PublishedInOrder, Replay, ServerState,
};

/// Several engines. Of each channel only one knows.
pub struct EngineRouter {
    /// Each once.
    engines: Vec<Arc<dyn Engine>>,
    /// Those that pass on what is announced.
    announcing: Vec<Arc<dyn Engine>>,
    choice: Choice,
}

/// Which engine a channel is in, by its index.
enum Choice {
    /// The one that its namespace has chosen, otherwise the first.
    ByNamespace(HashMap<String, usize>),
    /// One of several alike, which share all channels.
    ByName(Placement),
}

/// Says by a channel's name in which of several engines it is.
pub type Placement = Box<dyn Fn(&ChannelName) -> usize + Send + Sync>;

impl EngineRouter {
    /// A router to `default`, but for these namespaces.
    pub fn new(
        default: Arc<dyn Engine>,
        namespaces: impl IntoIterator<Item = (String, Arc<dyn Engine>)>,
    ) -> Self {
        let mut engines = vec![default];
        let mut chosen = HashMap::new();
        for (namespace, engine) in namespaces {
            let mut known = engines.iter();
            let index = known.position(|known| Arc::ptr_eq(known, &engine));
            let index = index.unwrap_or_else(|| {
                engines.push(engine);
                engines.len() - 1
            });
            chosen.insert(namespace, index);
        }
        Self::of_all(engines, Choice::ByNamespace(chosen))
    }

    /// Engines that are all alike, and share the channels as `placement` says.
    pub fn alike(engines: Vec<Arc<dyn Engine>>, placement: Placement) -> Self {
        Self::of_all(engines, Choice::ByName(placement))
    }

    fn of_all(engines: Vec<Arc<dyn Engine>>, choice: Choice) -> Self {
        Self {
            announcing: engines.clone(),
            engines,
            choice,
        }
    }

    /// Only these engines, by their indexes, pass on what is announced.
    #[must_use]
    pub fn announcing_by(mut self, indexes: &[usize]) -> Self {
        let engines = indexes
            .iter()
            .map(|&index| Arc::clone(&self.engines[index]));
        self.announcing = engines.collect();
        self
    }

    fn of(&self, channel: &ChannelName) -> &dyn Engine {
        let index = match &self.choice {
            Choice::ByNamespace(chosen) => {
                let chosen = channel.namespace().and_then(|name| chosen.get(name));
                chosen.copied().unwrap_or(0)
            }
            Choice::ByName(placement) => placement(channel),
        };
        &*self.engines[index]
    }
}

impl MessageLog for EngineRouter {
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published> {
        self.of(&publication.channel).publish(publication)
    }

    fn publish_in_order(&self, publications: Vec<Publication>) -> PublishedInOrder<'_> {
        match publications.first() {
            Some(first) => self.of(&first.channel).publish_in_order(publications),
            None => Box::pin(async { Vec::new() }),
        }
    }

    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position> {
        self.of(channel).position(channel, limits)
    }

    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay> {
        self.of(channel).replay(channel, since, portion)
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage> {
        self.of(channel).history(channel, query)
    }
}

impl MemberStore for EngineRouter {
    fn enter<'a>(&'a self, channel: &'a ChannelName, entry: PresenceEntry) -> EngineFuture<'a, ()> {
        self.of(channel).enter(channel, entry)
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        connection: ConnectionId,
    ) -> EngineFuture<'a, ()> {
        self.of(channel).exit(channel, connection)
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: &'a MemberQuery,
    ) -> EngineFuture<'a, MemberList> {
        self.of(channel).members(channel, query)
    }
}

impl Interest for EngineRouter {
    fn interested<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()> {
        self.of(channel).interested(channel)
    }

    fn uninterested(&self, channel: &ChannelName) {
        self.of(channel).uninterested(channel);
    }
}

impl Directory for EngineRouter {
    fn channels(&self, query: ChannelQuery) -> EngineFuture<'_, Vec<ChannelName>> {
        Box::pin(async move {
            let pages = self.engines.iter().map(|one| one.channels(query.clone()));
            let mut channels = try_join_all(pages).await?.concat();
            channels.sort_unstable();
            channels.truncate(query.limit);
            Ok(channels)
        })
    }

    fn channel_info<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> EngineFuture<'a, Option<ChannelInfo>> {
        self.of(channel).channel_info(channel)
    }
}

/// Announcements go to every engine, if not otherwise said: nodes may share one of several, and one may keep what another forgets.
impl Announcements for EngineRouter {
    fn lease(&self) -> Option<Duration> {
        let leases = self.announcing.iter().filter_map(|engine| engine.lease());
        leases.min()
    }

    fn announce(&self, announcement: Announcement, keep_for: Duration) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            let engines = self.announcing.iter();
            let told = engines.map(|engine| engine.announce(announcement.clone(), keep_for));
            // Each is told, whether or not others fail.
            join_all(told).await.into_iter().collect()
        })
    }

    fn announced(&self) -> EngineFuture<'_, Vec<Announcement>> {
        let all = self.announcing.iter().map(|engine| engine.announced());
        Box::pin(newest_of(all.collect()))
    }

    fn announced_to_others(&self) -> EngineFuture<'_, Vec<Announcement>> {
        let shared = self.announcing.iter().filter(|engine| engine.is_shared());
        let all = shared.map(|engine| engine.announced());
        Box::pin(newest_of(all.collect()))
    }
}

/// The newest announcement of each key. What one engine cannot tell, another may.
async fn newest_of(
    asked: Vec<EngineFuture<'_, Vec<Announcement>>>,
) -> Result<Vec<Announcement>, EngineError> {
    let mut newest: HashMap<String, Announcement> = HashMap::new();
    let mut failure = None;
    for answer in join_all(asked).await {
        match answer {
            Ok(announced) => {
                for one in announced {
                    let known = newest.get(&one.key);
                    if known.is_none_or(|known| known.version < one.version) {
                        newest.insert(one.key.clone(), one);
                    }
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if newest.is_empty() => Err(error),
        _ => Ok(newest.into_values().collect()),
    }
}

impl Lifecycle for EngineRouter {
    fn patience(&self) -> Option<Duration> {
        let patience = self.engines.iter().filter_map(|engine| engine.patience());
        patience.max()
    }

    fn figures(&self) -> EngineFigures {
        let figures = self.engines.iter().map(|engine| engine.figures());
        figures.fold(EngineFigures::default(), EngineFigures::plus)
    }

    fn servers(&self) -> Vec<ServerState> {
        let servers = self.engines.iter().map(|engine| engine.servers());
        servers.collect::<Vec<_>>().concat()
    }

    fn bound_history(&self, bytes: u64) {
        for engine in &self.engines {
            engine.bound_history(bytes / self.engines.len() as u64);
        }
    }

    fn health(&self) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            let all = join_all(self.engines.iter().map(|engine| engine.health())).await;
            let is_alike = matches!(self.choice, Choice::ByName(_));
            if is_alike && all.iter().any(Result::is_ok) {
                // All brokers miss the same engine: without them nobody would have the channels of the others, either.
                return Ok(());
            }
            all.into_iter().collect()
        })
    }

    fn close(&self) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            // Each is closed, whether or not others fail.
            let closed = join_all(self.engines.iter().map(|engine| engine.close())).await;
            closed.into_iter().collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance::{Heard, announced, announcement, name, publication};
    use crate::engine::flaky::{Fault, FlakyStore};
    use crate::engine::{ManualClock, MemorySettings};

    fn engine(faults: Option<Fault>) -> Arc<dyn Engine> {
        let (clock, heard) = (Arc::new(ManualClock::new()), Arc::new(Heard::default()));
        let engine = FlakyStore::new(MemorySettings::default(), clock).node(heard);
        engine.set_faults(move |_| faults);
        Arc::new(engine)
    }

    #[actix_web::test]
    async fn a_channel_is_in_the_engine_of_its_namespace_alone() {
        let (default, kept) = (engine(None), engine(None));
        let namespaces = [("kept".to_owned(), Arc::clone(&kept))];
        let router = EngineRouter::new(Arc::clone(&default), namespaces);
        for channel in ["kept:1", "kept:2", "kept", "other:1"] {
            router.publish(publication(channel, "x")).await.unwrap();
        }
        let query = ChannelQuery {
            prefix: String::new(),
            after: None,
            limit: 3,
        };
        let here = [name("kept"), name("other:1")];
        assert_eq!(default.channels(query.clone()).await.unwrap(), here);
        let there = [name("kept:1"), name("kept:2")];
        assert_eq!(kept.channels(query.clone()).await.unwrap(), there);
        let all = router.channels(query.clone()).await.unwrap();
        assert_eq!(all, [name("kept"), name("kept:1"), name("kept:2")]);
        let next = ChannelQuery {
            after: Some(name("kept:2")),
            ..query
        };
        assert_eq!(router.channels(next).await.unwrap(), [name("other:1")]);
        assert_eq!(router.figures().history_messages, 4);
    }

    #[actix_web::test]
    async fn announcements_go_to_every_engine_and_one_that_fails_hides_nothing() {
        let (default, kept) = (engine(None), engine(None));
        let broken = engine(Some(Fault::Fails));
        let hour = Duration::from_hours(1);
        let namespaces = [("kept".to_owned(), Arc::clone(&kept))];
        let router = EngineRouter::new(Arc::clone(&default), namespaces);
        let one = announcement("a", 1, "x");
        router.announce(one, hour).await.unwrap();
        let newer = announcement("a", 2, "y");
        kept.announce(newer, hour).await.unwrap();
        assert_eq!(announced(&*default).await, "a=x");
        assert_eq!(announced(&router).await, "a=y");
        // No other node finds what is in the memory of this one.
        assert!(router.announced_to_others().await.unwrap().is_empty());
        let router = EngineRouter::new(broken, [("kept".to_owned(), Arc::clone(&kept))]);
        assert_eq!(announced(&router).await, "a=y");
        let one = announcement("b", 1, "z");
        assert!(router.announce(one, hour).await.is_err());
        assert_eq!(announced(&*kept).await, "a=y b=z");
    }

    #[actix_web::test]
    async fn announcements_can_go_to_some_engines_alone() {
        let engines = [None; 3].map(engine);
        let router = EngineRouter::alike(engines.to_vec(), Box::new(|_| 1)).announcing_by(&[0, 2]);
        let one = announcement("a", 1, "x");
        router.announce(one, Duration::from_hours(1)).await.unwrap();
        assert_eq!(announced(&*engines[0]).await, "a=x");
        assert_eq!(announced(&*engines[1]).await, "");
        assert_eq!(announced(&*engines[2]).await, "a=x");
        assert_eq!(announced(&router).await, "a=x");
    }

    #[actix_web::test]
    async fn one_engine_that_fails_makes_the_broker_unhealthy_and_not_the_others() {
        let broken = engine(Some(Fault::Fails));
        let router = EngineRouter::new(engine(None), [("kept".to_owned(), broken)]);
        assert!(router.health().await.is_err());
        assert!(router.publish(publication("a", "x")).await.is_ok());
        assert!(router.publish(publication("kept:a", "x")).await.is_err());
    }

    #[actix_web::test]
    async fn of_engines_that_are_alike_one_is_enough_to_be_healthy() {
        let broken = engine(Some(Fault::Fails));
        let placement = |channel: &ChannelName| usize::from(channel.as_str() == "b");
        let router = EngineRouter::alike(vec![engine(None), broken], Box::new(placement));
        assert!(router.health().await.is_ok());
        assert!(router.publish(publication("a", "x")).await.is_ok());
        assert!(router.publish(publication("b", "x")).await.is_err());
        let broken = [Some(Fault::Fails); 2].map(engine);
        let router = EngineRouter::alike(broken.to_vec(), Box::new(placement));
        assert!(router.health().await.is_err());
    }
}
