//! Several engines on one server, and what each has been told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use widecast_protocol::{ChannelName, EncodedMessage, Member, Payload, Position};

use super::server::RedisServer;
use super::stage::{clock, settings};
use crate::engine::conformance::{ALL, EVERYBODY, name, publication, texts};
use crate::engine::redis::scripts::{CLOCK, Scripts};
use crate::engine::redis::topology::Topology;
use crate::engine::{
    Announcement, ConnectionId, Deliver, EngineError, HistoryLimits, Interest, Lifecycle,
    MemberStore, MessageLog, NumberedChange, PresenceChange, PresenceEntry, Published, RedisEngine,
    RedisSettings, Replay, ServerFigures,
};

/// What an engine has told of the channels that are heard.
#[derive(Debug, Default)]
pub(super) struct Told {
    messages: Mutex<Vec<Arc<EncodedMessage>>>,
    changes: Mutex<Vec<PresenceChange>>,
    lost: Mutex<Vec<ChannelName>>,
    announced: Mutex<Vec<Announcement>>,
    announcements_lost: AtomicUsize,
}

impl Deliver for Told {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        self.messages.lock().unwrap().push(message);
        1
    }

    fn presence(&self, _: &ChannelName, change: NumberedChange) {
        self.changes.lock().unwrap().push(change.change);
    }

    fn lost(&self, channel: &ChannelName) {
        self.lost.lock().unwrap().push(channel.clone());
    }

    fn announced(&self, announcement: Announcement) {
        self.announced.lock().unwrap().push(announcement);
    }

    fn announcements_lost(&self) {
        self.announcements_lost.fetch_add(1, Ordering::SeqCst);
    }
}

impl Told {
    /// The texts of the messages, as they came.
    pub(super) fn texts(&self) -> Vec<String> {
        let messages = self.messages.lock().unwrap();
        texts(&messages).into_iter().map(str::to_owned).collect()
    }

    /// The places of the messages, as they came.
    pub(super) fn positions(&self) -> Vec<Position> {
        let messages = self.messages.lock().unwrap();
        messages.iter().map(|message| message.position()).collect()
    }

    /// The members that came and went: `+ann` and `-ann`.
    pub(super) fn changes(&self) -> Vec<String> {
        let changes = self.changes.lock().unwrap();
        let shown = changes.iter().map(|change| match change {
            PresenceChange::Joined(member) => format!("+{}", member.id),
            PresenceChange::Changed(member) => format!("~{}", member.id),
            PresenceChange::Left(member) => format!("-{}", member.id),
        });
        shown.collect()
    }

    /// The keys of what other nodes have announced.
    pub(super) fn announced(&self) -> Vec<String> {
        let announced = self.announced.lock().unwrap();
        announced.iter().map(|one| one.key.clone()).collect()
    }

    /// When that was announced.
    pub(super) fn moments(&self) -> Vec<Instant> {
        let announced = self.announced.lock().unwrap();
        announced.iter().map(|one| one.given).collect()
    }

    /// How often all announcements have to be read.
    pub(super) fn announcements_lost(&self) -> usize {
        self.announcements_lost.load(Ordering::SeqCst)
    }

    /// The channels that have to be read.
    pub(super) fn lost(&self) -> Vec<String> {
        let lost = self.lost.lock().unwrap();
        lost.iter().map(ToString::to_string).collect()
    }
}

/// An engine of its own, as one broker has it.
pub(super) struct Node {
    pub(super) engine: RedisEngine,
    pub(super) told: Arc<Told>,
}

impl Node {
    pub(super) async fn start(server: &RedisServer) -> Self {
        Self::start_with(settings(server)).await
    }

    pub(super) async fn start_with(settings: RedisSettings) -> Self {
        let told = Arc::new(Told::default());
        let engine = RedisEngine::start(settings, told.clone()).await.unwrap();
        Self { engine, told }
    }

    /// One to which the server's clock shows what has passed in addition to its time ([`clock`]).
    pub(super) async fn start_with_passing_time(settings: RedisSettings) -> Self {
        let told = Arc::new(Told::default());
        let topology = Topology::new(&settings).unwrap();
        let scripts = Scripts::new(&clock(&settings.key_prefix));
        let engine = RedisEngine::start_at(topology, settings, told.clone(), scripts).await;
        Self {
            engine: engine.unwrap(),
            told,
        }
    }

    /// The ids of the members of the room, as they are listed here.
    pub(super) async fn members(&self) -> Vec<String> {
        let list = self.engine.members(&name("room"), &EVERYBODY).await;
        let members = list.unwrap().list.members.into_iter();
        members.map(|member| member.id).collect()
    }

    /// One that has this part of a cluster alone.
    pub(super) async fn start_part(settings: &RedisSettings, part: usize) -> Self {
        let told = Arc::new(Told::default());
        let cluster = settings.cluster().unwrap();
        let scripts = Scripts::new(CLOCK);
        let engine = RedisEngine::start_part(settings, &cluster, part, told.clone(), scripts).await;
        Self {
            engine: engine.unwrap(),
            told,
        }
    }

    pub(super) async fn hear(&self, channel: &str) {
        self.engine.interested(&name(channel)).await.unwrap();
        self.position(channel).await;
    }

    pub(super) async fn position(&self, channel: &str) -> Position {
        let limits = HistoryLimits::default();
        self.engine.position(&name(channel), limits).await.unwrap()
    }

    pub(super) async fn try_publish(
        &self,
        channel: &str,
        text: &str,
    ) -> Result<Published, EngineError> {
        self.engine.publish(publication(channel, text)).await
    }

    pub(super) async fn publish(&self, channel: &str, text: &str) -> Position {
        self.try_publish(channel, text).await.unwrap().position
    }

    pub(super) async fn replay(&self, channel: &str, since: Position) -> Replay {
        self.engine
            .replay(&name(channel), since, ALL)
            .await
            .unwrap()
    }

    /// The texts after a position, if nothing is lost.
    pub(super) async fn texts_after(&self, channel: &str, since: Position) -> Option<Vec<String>> {
        let replay = self.replay(channel, since).await;
        let found = texts(&replay.messages).into_iter().map(str::to_owned);
        replay.recovered.then(|| found.collect())
    }

    pub(super) async fn enter(&self, connection: u64, id: &str) {
        self.enter_with(connection, id, "here").await;
    }

    pub(super) async fn enter_with(&self, connection: u64, id: &str, data: &str) {
        let entry = PresenceEntry {
            connection: ConnectionId(connection),
            member: Member {
                id: id.to_owned(),
                data: Payload::text(data),
            },
        };
        self.engine.enter(&name("room"), entry).await.unwrap();
    }

    pub(super) async fn exit(&self, connection: u64) {
        let connection = ConnectionId(connection);
        self.engine.exit(&name("room"), connection).await.unwrap();
    }

    pub(super) async fn is_healthy(&self) -> bool {
        self.engine.health().await.is_ok()
    }

    pub(super) fn reconnects(&self) -> u64 {
        self.server_figures().reconnects
    }

    pub(super) fn server_figures(&self) -> ServerFigures {
        self.engine.figures().server.expect("it has a server")
    }
}

/// Waits until something is so.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), wait).await;
    waited.unwrap_or_else(|_| panic!("expected {what}"));
}
