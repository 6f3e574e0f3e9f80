//! A broker without sockets, and clients that come again, for the tests of what they are told.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
use super::event_stream::EventStream;
use super::http_stream::HttpStream;
use super::simulated_client::{OwnMessages, SimulatedClient};
use crate::auth::{Authenticator, Principal, Subject};
use crate::config::{ByteCount, Config, NamespaceRules, SlowConsumerPolicy};
use crate::engine::flaky::{Fault, FlakyEngine};
use crate::engine::{
    Deliver, Engine, ManualClock, MemoryEngine, MemorySettings, NumberedChange, Publication,
};
use crate::limits::Share;
use crate::metrics::Metrics;
use crate::registry::{Routes, Shard};
use crate::session::{Dialect, Echo, Identity, Inbound, Services, Session, Transport, Worker};

pub(super) const HISTORY_AGE: Duration = Duration::from_mins(5);
const SENDER: &str = "the-key-of-the-one-client";

/// Hands over what it is given, or loses it, or hands it over twice.
pub(super) struct LossyDelivery {
    pub(super) routes: Arc<Routes>,
    pub(super) loses: AtomicBool,
    pub(super) doubles: AtomicBool,
}

impl Deliver for LossyDelivery {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        if self.loses.load(Ordering::Relaxed) {
            return 0;
        }
        if self.doubles.load(Ordering::Relaxed) {
            self.routes.deliver(Arc::clone(&message));
        }
        self.routes.deliver(message)
    }

    fn presence(&self, channel: &ChannelName, change: NumberedChange) {
        self.routes.presence(channel, change);
    }

    fn lost(&self, channel: &ChannelName) {
        self.routes.lost(channel);
    }
}

/// A broker without sockets, and what was published.
pub(super) struct Simulation {
    pub(super) worker: Worker,
    pub(super) clock: Arc<ManualClock>,
    pub(super) delivery: Arc<LossyDelivery>,
    pub(super) own: OwnMessages,
    pub(super) channels: Vec<ChannelName>,
}

/// Makes so many of ten calls slow, the same ones each time.
fn slow_at_random(slow_calls: u64) -> impl FnMut(&'static str) -> Option<Fault> + Send {
    let mut random = SmallRng::seed_from_u64(slow_calls);
    move |_| {
        let is_slow = random.random_range(0..10) < slow_calls;
        is_slow.then(|| Fault::Slow(random.random_range(0..4), random.random_range(0..4)))
    }
}

/// A client and its connection.
pub(super) struct SimulatedConnection {
    pub(super) client: SimulatedClient,
    pub(super) session: Rc<Session>,
}

impl Simulation {
    /// A broker whose engine is slow at so many of ten calls.
    pub(super) fn new(channels: usize, outbox_bytes: u64, slow_calls: u64) -> Self {
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
        let routes = Routes::new();
        let clock = Arc::new(ManualClock::new());
        let delivery = Arc::new(LossyDelivery {
            routes: Arc::clone(&routes),
            loses: AtomicBool::new(false),
            doubles: AtomicBool::new(false),
        });
        let settings = MemorySettings::default();
        let deliver = Arc::clone(&delivery) as Arc<dyn Deliver>;
        let memory = MemoryEngine::new(settings, Arc::clone(&clock) as _, deliver);
        let engine: Arc<dyn Engine> =
            Arc::new(FlakyEngine::new(memory, slow_at_random(slow_calls)));
        let metrics = Arc::new(Metrics::new());
        let shard = Shard::start(&routes, &engine, &metrics, Duration::from_secs(10));
        let auth = Authenticator::new(&config).unwrap();
        let services = Arc::new(Services::new(
            Arc::new(config),
            auth,
            engine,
            metrics,
            routes,
        ));
        let names = ["old:a", "plain:b", "new:c"].into_iter().take(channels);
        Self {
            worker: Worker::new(services, shard),
            clock,
            delivery,
            own: OwnMessages::default(),
            channels: names
                .map(|name| ChannelName::parse(name).unwrap())
                .collect(),
        }
    }

    pub(super) async fn end(&self, channel: &ChannelName) -> Position {
        let limits = self.worker.services.history_limits(channel);
        let position = self.worker.services.engine.position(channel, limits);
        position.await.unwrap()
    }

    pub(super) async fn publish(&self, channel: &ChannelName, bytes: usize, own: bool) {
        let offset = Offset(self.end(channel).await.offset.0 + 1);
        if own {
            self.own.borrow_mut().insert((channel.clone(), offset));
        }
        let services = &self.worker.services;
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
        services.engine.publish(publication).await.unwrap();
    }

    /// Connects a client, with the cursor that it knows.
    pub(super) async fn connect(
        &self,
        mut client: SimulatedClient,
        cuts: &mut Vec<SimulatedClient>,
    ) -> SimulatedConnection {
        client.connects();
        let sender = SenderKey::parse(SENDER).unwrap();
        let identity = Identity {
            sender: (!counts(client.dialect)).then_some(sender),
            echo: Echo::Off,
            principal: Principal::new(Subject::Anybody, Origin::unknown()),
            share: Share::default(),
            headers: Vec::new(),
        };
        let session = open(&self.worker, identity, client.dialect, Transport::Sse)
            .await
            .unwrap();
        let (channels, cursor) = (client.channels.clone(), client.cursor());
        let session = match client.dialect.wire() {
            Wire::RawSse | Wire::ObjectSse => {
                let begun = begun::<EventStream>(session, &channels, cursor.as_ref()).await;
                begun.unwrap().0
            }
            Wire::RawNdjson => {
                let begun = begun::<HttpStream>(session, &channels, cursor.as_ref()).await;
                let (session, head) = begun.unwrap();
                client.head(&head);
                session
            }
            Wire::RawWebSocket | Wire::ValueWebSocket | Wire::ObjectWebSocket => {
                let opened = OpenedSession::join(session, &channels, cursor.as_ref())
                    .await
                    .unwrap();
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
        let is_session = speaks_frames(client.dialect);
        let mut link = SimulatedConnection { client, session };
        for channel in channels.iter().filter(|_| is_session) {
            let known = link.client.known.get(channel).copied();
            link.subscribe(channel, known, None, cuts).await;
        }
        link
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
    /// Reads what the socket takes; keeps the client as it is behind each byte that changes what it knows.
    pub(super) fn read(&mut self, most: usize, cuts: &mut Vec<SimulatedClient>) {
        let bytes = self.session.outbox().written(most);
        for byte in &bytes {
            let known = self.client.known.clone();
            if self.client.byte(*byte) && self.client.known != known {
                cuts.push(self.client.clone());
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
        let kind = CommandKind::Subscribe(subscribe);
        let command = vec![Inbound::Command(Command { id, kind })];
        let mut dispatched = pin!(Rc::clone(&self.session).dispatch(command));
        loop {
            tokio::select! {
                biased;
                () = &mut dispatched => return,
                () = let_others_run() => self.read(usize::MAX / 2, cuts),
            };
        }
    }

    /// Whether the broker has ended the connection, or the client has been told to come again.
    pub(super) fn is_over(&self) -> bool {
        !self.session.outbox().is_open()
    }

    /// Reads until the client has been told everything, coming again as often as it has to.
    pub(super) async fn drain(
        mut self,
        simulation: &Simulation,
        cuts: &mut Vec<SimulatedClient>,
    ) -> SimulatedClient {
        for _ in 0..200 {
            let_others_run().await;
            self.read(usize::MAX / 2, cuts);
            if self.is_up_to_date(simulation).await {
                return self.client;
            }
            if self.is_over() {
                self = simulation.connect(self.client, cuts).await;
            }
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
