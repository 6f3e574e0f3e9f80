//! Two brokers without sockets on one engine with faults, and clients that come again to either, for the tests of what they are told.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::JoinHandle;
use futures_util::FutureExt;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use widecast_protocol::command::Subscribe;
use widecast_protocol::framing::{Content, Wire};
use widecast_protocol::{
    ChannelName, Command, CommandId, CommandKind, Cursor, EncodedMessage, Offset, Origin, Payload,
    Position, SenderKey,
};

use super::common::one_way::begun;
use super::common::opened_session::{OpenedSession, open};
use super::common::stream_request::{MessageFormat, StreamRequest};
use super::event_stream::EventStream;
use super::http_stream::HttpStream;
use super::long_poll::{self, PollAnswer};
use super::simulated_client::{OwnMessages, SimulatedClient};
use crate::auth::{Authenticator, Principal, Subject};
use crate::config::{ByteCount, Config, NamespaceRules, SlowConsumerPolicy};
use crate::engine::flaky::{Fault, FlakyEngine, FlakyStore, Passage};
use crate::engine::{Deliver, Engine, ManualClock, MemorySettings, MessageLog, Publication};
use crate::http::Problem;
use crate::limits::Share;
use crate::metrics::{HoleOutcome, Metrics};
use crate::registry::{Routes, Shard};
use crate::session::{Dialect, Echo, Identity, Inbound, Services, Session, Transport, Worker};

pub(super) const HISTORY_AGE: Duration = Duration::from_mins(5);
const SENDER: &str = "the-key-of-the-one-client";

/// Longer than the longest interval between two attempts to read a history.
const LONG: Duration = Duration::from_secs(16);

/// How a simulation begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    /// How many channels there are.
    pub(super) channels: usize,
    /// How much may wait for a client.
    pub(super) outbox_bytes: u64,
    /// How many of twenty calls of the engine are slow.
    pub(super) slow: u64,
    /// How many of twenty calls of the engine fail.
    pub(super) failing: u64,
    /// Of these faults.
    pub(super) seed: u64,
}

/// One of the brokers.
pub(super) struct Node {
    pub(super) worker: Worker,
    pub(super) engine: Arc<FlakyEngine>,
}

/// How many there are.
pub(super) const NODES: usize = 2;

/// Two brokers without sockets, and what was published.
pub(super) struct Simulation {
    pub(super) nodes: [Node; NODES],
    store: Arc<FlakyStore>,
    pub(super) clock: Arc<ManualClock>,
    /// Whether calls of the engine may fail.
    pub(super) fails: bool,
    pub(super) own: OwnMessages,
    pub(super) channels: Vec<ChannelName>,
}

/// Some calls are slow and some fail: the same ones each time.
fn faults(scene: &Scene, node: usize) -> impl FnMut(&'static str) -> Option<Fault> + Send + use<> {
    let mut random = SmallRng::seed_from_u64(scene.seed.wrapping_add(node as u64));
    let (slow, failing) = (scene.slow, scene.failing);
    move |_| match random.random_range(0..20) {
        chance if chance < failing => Some(if random.random() {
            Fault::Fails
        } else {
            Fault::LosesAnswer
        }),
        chance if chance < failing + slow => Some(Fault::Slow(
            random.random_range(0..4),
            random.random_range(0..4),
        )),
        _ => None,
    }
}

impl Node {
    fn start(config: &Arc<Config>, store: &Arc<FlakyStore>) -> Self {
        let routes = Routes::new();
        let engine = Arc::new(store.node(Arc::clone(&routes) as Arc<dyn Deliver>));
        let any_engine = Arc::clone(&engine) as Arc<dyn Engine>;
        let metrics = Arc::new(Metrics::new());
        let shard = Shard::start(&routes, &any_engine, &metrics, Duration::from_secs(10));
        let auth = Authenticator::new(config).unwrap();
        let services = Services::new(Arc::clone(config), auth, any_engine, metrics, routes);
        Self {
            worker: Worker::new(Arc::new(services), shard),
            engine,
        }
    }
}

fn config(outbox_bytes: u64) -> Arc<Config> {
    let mut config = Config::default();
    config.outbox.bytes = ByteCount::new(outbox_bytes);
    let rules = [
        ("plain", SlowConsumerPolicy::Disconnect, 100),
        ("old", SlowConsumerPolicy::DropOldest, 6),
        ("new", SlowConsumerPolicy::Latest, 6),
    ];
    for (name, slow_consumer, history_messages) in rules {
        let rules = NamespaceRules {
            slow_consumer,
            history_messages,
            history_age: HISTORY_AGE,
            ..NamespaceRules::default()
        };
        config.namespaces.named.insert(name.to_owned(), rules);
    }
    Arc::new(config)
}

/// A client and its connection to one of the brokers.
pub(super) struct SimulatedConnection {
    pub(super) client: SimulatedClient,
    way: Way,
    node: usize,
}

/// How the client is connected.
enum Way {
    Session(Rc<Session>),
    Poll(Poll),
}

/// A poll that waits for its answer. When it is dropped, the client has hung up.
struct Poll(JoinHandle<Result<PollAnswer, Problem>>);

impl Drop for Poll {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a client is that publishes, if it is one whose messages it may miss.
fn identity(dialect: Dialect) -> Identity {
    let sender = SenderKey::parse(SENDER).unwrap();
    Identity {
        sender: (!counts(dialect)).then_some(sender),
        echo: Echo::Off,
        principal: Principal::new(Subject::Anybody, Origin::unknown()),
        share: Share::default(),
        headers: Vec::new(),
    }
}

impl Simulation {
    /// Two brokers that nobody uses yet.
    pub(super) fn new(scene: &Scene) -> Self {
        let config = config(scene.outbox_bytes);
        let clock = Arc::new(ManualClock::new());
        let store = FlakyStore::new(MemorySettings::default(), Arc::clone(&clock) as _);
        let nodes: [Node; NODES] = std::array::from_fn(|number| {
            let node = Node::start(&config, &store);
            node.engine.set_faults(faults(scene, number));
            node
        });
        let names = ["old:a", "plain:b", "new:c"]
            .into_iter()
            .take(scene.channels);
        Self {
            nodes,
            store,
            clock,
            fails: scene.failing > 0,
            own: OwnMessages::default(),
            channels: names
                .map(|name| ChannelName::parse(name).unwrap())
                .collect(),
        }
    }

    pub(super) async fn end(&self, channel: &ChannelName) -> Position {
        let limits = self.nodes[0].worker.services.history_limits(channel);
        self.store.memory.position(channel, limits).await.unwrap()
    }

    /// Publishes a message at one of the brokers, again if that failed before it was done.
    pub(super) async fn publish(
        &self,
        node: usize,
        channel: &ChannelName,
        bytes: usize,
        own: bool,
    ) {
        let before = self.end(channel).await;
        let offset = before.offset.next();
        if own {
            self.own.borrow_mut().insert((channel.clone(), offset));
        }
        let services = &self.nodes[node].worker.services;
        let publication = Publication {
            channel: channel.clone(),
            payload: Payload::text(format!("{channel}|{offset}|{}", "x".repeat(bytes))),
            event: None,
            origin: Origin::unknown(),
            sender: own.then(|| SenderKey::parse(SENDER).unwrap()),
            idempotency_key: None,
            id: None,
            history: services.history_limits(channel),
        };
        while self.end(channel).await == before {
            // Where that has failed, the end says whether it was done all the same.
            let _ = services.engine.publish(publication.clone()).await;
        }
    }

    /// The next messages have this passage to one of the brokers; what comes behind them arrives.
    pub(super) fn set_passage(&self, node: usize, passage: Passage, count: usize) {
        let mut next = std::iter::repeat_n(passage, count);
        let passages = move |_: &EncodedMessage| next.next().unwrap_or(Passage::Arrives);
        self.nodes[node].engine.delivery.set_passages(passages);
    }

    /// What is on its way to one of the brokers comes there, and it is told what was lost.
    pub(super) fn settle(&self, node: usize) {
        self.nodes[node].engine.delivery.settle();
    }

    /// How many holes the brokers have filled.
    pub(super) fn filled_holes(&self) -> u64 {
        let filled = self.nodes.iter().map(|node| {
            let gaps = &node.worker.services.metrics.gaps;
            // All channels are in one engine.
            gaps.holes(&self.channels[0], HoleOutcome::Filled)
        });
        filled.sum()
    }

    /// Connects a client, with the cursor that it knows: to this broker, or to the other one if it is refused there.
    pub(super) async fn connect(
        &self,
        client: SimulatedClient,
        node: usize,
        cuts: &mut Vec<SimulatedClient>,
    ) -> SimulatedConnection {
        for attempt in 0..50 {
            let node = (node + attempt) % NODES;
            let mut client = client.clone();
            client.connects();
            if let Ok(way) = self.open(&mut client, node).await {
                let mut link = SimulatedConnection { client, way, node };
                link.subscribe_to_all(cuts).await;
                return link;
            }
        }
        panic!("the client is always refused");
    }

    async fn open(&self, client: &mut SimulatedClient, node: usize) -> Result<Way, Problem> {
        let worker = &self.nodes[node].worker;
        if client.dialect.is_polled() {
            return Ok(Way::Poll(self.poll(client, node)));
        }
        let identity = identity(client.dialect);
        let session = open(worker, identity, client.dialect, Transport::Sse).await?;
        let (channels, cursor) = (&client.channels, client.cursor());
        let session = match client.dialect.wire() {
            Wire::RawSse | Wire::ObjectSse => {
                let begun = begun::<EventStream>(session, channels, cursor.as_ref());
                begun.await?.0
            }
            Wire::RawNdjson => {
                let begun = begun::<HttpStream>(session, channels, cursor.as_ref());
                let (session, head) = begun.await?;
                client.head(&head);
                session
            }
            Wire::RawWebSocket | Wire::ValueWebSocket | Wire::ObjectWebSocket => {
                let opened = OpenedSession::join(session, channels, cursor.as_ref()).await?;
                if counts(client.dialect) {
                    client.head(&opened.cursor());
                }
                opened.flow().await
            }
            _ => {
                session.welcome();
                session
            }
        };
        Ok(Way::Session(session))
    }

    /// A poll that waits for messages, or asks where the channels are if the client does not know.
    fn poll(&self, client: &SimulatedClient, node: usize) -> Poll {
        let cursor = client.cursor();
        let wanted = StreamRequest {
            channels: Vec::new(),
            timeout: cursor.is_some().then_some(Duration::from_mins(1)),
            cursor,
            cursor_text: None,
            identity: identity(client.dialect),
            session: None,
            callback: None,
            msgpack: false,
            json: false,
            format: MessageFormat::Message,
            presence: None,
        };
        let worker = self.nodes[node].worker.clone();
        let (channels, scope) = (client.channels.clone(), client.dialect.scope());
        Poll(actix_rt::spawn(async move {
            long_poll::answer(&worker, &channels, wanted, scope).await
        }))
    }
}

/// Whether the client is given no cursor but in the head, and counts from there: its own messages would be a mystery to it.
pub(super) fn counts(dialect: Dialect) -> bool {
    matches!(dialect.wire(), Wire::RawWebSocket | Wire::ValueWebSocket)
}

/// Whether the client joins its channels by commands.
pub(super) fn speaks_frames(dialect: Dialect) -> bool {
    matches!(dialect.wire().content(), Content::Frame(_))
}

/// Lets the shard, and whoever sends the past, do what there is to do.
pub(super) async fn let_others_run() {
    for _ in 0..24 {
        tokio::task::yield_now().await;
    }
}

impl SimulatedConnection {
    /// The client is told its place, as with each heartbeat.
    pub(super) fn beat(&self) {
        if let Way::Session(session) = &self.way {
            session.outbox().tell_place();
        }
    }

    /// Reads what the socket takes, or the answer to a poll; keeps the client as it is behind each byte, or answer, that changes what
    /// it knows.
    pub(super) fn read(
        &mut self,
        simulation: &Simulation,
        most: usize,
        cuts: &mut Vec<SimulatedClient>,
    ) {
        match &mut self.way {
            Way::Session(session) => self.client.read(&session.outbox().written(most), cuts),
            Way::Poll(_) if most == 0 => {}
            Way::Poll(poll) => {
                let Some(answered) = (&mut poll.0).now_or_never() else {
                    return;
                };
                // A poll that is refused is repeated as it was.
                if let Ok(answer) = answered.unwrap() {
                    self.client.answer(&answer);
                    cuts.push(self.client.clone());
                }
                *poll = simulation.poll(&self.client, self.node);
            }
        }
    }

    /// Reads all that there is to read, with as many polls as that takes.
    pub(super) async fn read_all(
        &mut self,
        simulation: &Simulation,
        cuts: &mut Vec<SimulatedClient>,
    ) {
        for _ in 0..4 {
            let_others_run().await;
            self.read(simulation, usize::MAX / 2, cuts);
        }
        let_others_run().await;
    }

    /// Joins the channels, where that is done by commands.
    async fn subscribe_to_all(&mut self, cuts: &mut Vec<SimulatedClient>) {
        if speaks_frames(self.client.dialect) {
            for channel in self.client.channels.clone() {
                let known = self.client.known.get(&channel).copied();
                self.subscribe(&channel, known, None, cuts).await;
            }
        }
    }

    /// Sends a command and reads for as long as its answer finds no room.
    pub(super) async fn subscribe(
        &mut self,
        channel: &ChannelName,
        known: Option<Position>,
        id: Option<CommandId>,
        cuts: &mut Vec<SimulatedClient>,
    ) {
        let subscribe = Subscribe {
            channel: channel.clone(),
            cursor: known.map(Cursor::One),
            presence: None,
            history: None,
            token: None,
        };
        let Way::Session(session) = &self.way else {
            return;
        };
        let kind = CommandKind::Subscribe(subscribe);
        let command = vec![Inbound::Command(Command { id, kind })];
        let mut dispatched = pin!(Rc::clone(session).dispatch(command));
        loop {
            tokio::select! {
                biased;
                () = &mut dispatched => return,
                () = let_others_run() => {
                    self.client.read(&session.outbox().written(usize::MAX / 2), cuts);
                }
            };
        }
    }

    /// Whether the broker has ended the connection, or has refused the client a channel.
    pub(super) fn is_over(&self) -> bool {
        match &self.way {
            Way::Session(session) => !session.outbox().is_open() || self.client.is_refused,
            Way::Poll(_) => false,
        }
    }

    /// Comes again: at the other broker.
    pub(super) async fn come_again(
        self,
        simulation: &Simulation,
        cuts: &mut Vec<SimulatedClient>,
    ) -> Self {
        let other = (self.node + 1) % NODES;
        simulation.connect(self.hang_up(), other, cuts).await
    }

    /// The client without its connection.
    pub(super) fn hang_up(self) -> SimulatedClient {
        self.client
    }

    /// Reads until the client has been told everything, coming again as often as it has to.
    pub(super) async fn drain(
        mut self,
        simulation: &Simulation,
        cuts: &mut Vec<SimulatedClient>,
    ) -> SimulatedClient {
        for _ in 0..200 {
            (0..NODES).for_each(|node| simulation.settle(node));
            let_others_run().await;
            self.read(simulation, usize::MAX / 2, cuts);
            if self.is_up_to_date(simulation).await {
                return self.client;
            }
            if self.is_over() {
                self = self.come_again(simulation, cuts).await;
            }
            // What has failed is repeated.
            tokio::time::advance(LONG).await;
        }
        panic!(
            "the client is never told everything: {:?}, known {:?}",
            self.client.told, self.client.known
        );
    }

    pub(super) async fn is_up_to_date(&self, simulation: &Simulation) -> bool {
        for channel in &self.client.channels {
            let end = simulation.end(channel).await;
            let told = self.client.told.get(channel);
            let is_told = told.is_some_and(|told| {
                let mut missing = told.offset.0 + 1..=end.offset.0;
                let own = simulation.own.borrow();
                told.epoch == end.epoch
                    && missing.all(|o| own.contains(&(channel.clone(), Offset(o))))
            });
            if !is_told || self.client.known.is_empty() {
                return false;
            }
        }
        true
    }
}
