//! A broker without sockets, and clients that come again, for the tests of what they are told.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use widecast_protocol::command::Subscribe;
use widecast_protocol::framing::{Content, Wire};
use widecast_protocol::{
    ChannelName, Command, CommandId, CommandKind, Cursor, EncodedMessage, Offset, Origin, Payload,
    Position, SenderKey,
};

use super::event_stream::EventStream;
use super::http_stream::HttpStream;
use super::one_way::begun;
use super::opening::{Opening, open};
use super::testing::{Client, Own};
use crate::config::{ByteCount, Config, NamespaceRules, SlowConsumer};
use crate::engine::{
    Deliver, Engine, ManualClock, MemoryEngine, MemorySettings, NumberedChange, Publication,
};
use crate::metrics::{Metrics, Transport};
use crate::registry::{Routes, Shard};
use crate::session::{Dialect, Echo, Heart, Identity, Inbound, Services, Session, Worker};

pub(super) const HISTORY_AGE: Duration = Duration::from_mins(5);
const SENDER: &str = "the-key-of-the-one-client";

/// Hands over what it is given, or loses it.
pub(super) struct Leaky {
    pub(super) routes: Arc<Routes>,
    pub(super) loses: AtomicBool,
}

impl Deliver for Leaky {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        if self.loses.load(Ordering::Relaxed) {
            return 0;
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
pub(super) struct World {
    pub(super) worker: Worker,
    pub(super) clock: Arc<ManualClock>,
    pub(super) leaky: Arc<Leaky>,
    pub(super) own: Own,
    pub(super) channels: Vec<ChannelName>,
}

/// A client and its connection.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) session: Rc<Session>,
}

impl World {
    pub(super) fn new(channels: usize, outbox_bytes: u64) -> Self {
        let mut config = Config::default();
        config.outbox.bytes = ByteCount::new(outbox_bytes);
        let rules = [
            ("plain", SlowConsumer::Disconnect, 100),
            ("old", SlowConsumer::DropOldest, 6),
            ("new", SlowConsumer::Latest, 6),
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
        let leaky = Arc::new(Leaky {
            routes: Arc::clone(&routes),
            loses: AtomicBool::new(false),
        });
        let settings = MemorySettings::default();
        let deliver = Arc::clone(&leaky) as Arc<dyn Deliver>;
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new(
            settings,
            Arc::clone(&clock) as _,
            deliver,
        ));
        let metrics = Arc::new(Metrics::new());
        let shard = Shard::start(&routes, &engine, &metrics, Duration::from_secs(10));
        let services = Arc::new(Services::new(Arc::new(config), engine, metrics, routes));
        let names = ["old:a", "plain:b", "new:c"].into_iter().take(channels);
        Self {
            worker: Worker {
                services,
                shard,
                heart: Heart::start(),
            },
            clock,
            leaky,
            own: Own::default(),
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
    pub(super) async fn connect(&self, mut client: Client, cuts: &mut Vec<Client>) -> Link {
        client.connects();
        let sender = SenderKey::parse(SENDER).unwrap();
        let identity = Identity {
            sender: (!counts(client.dialect)).then_some(sender),
            echo: Echo::Off,
            origin: Origin::unknown(),
        };
        let session = open(&self.worker, identity, client.dialect, Transport::Sse).unwrap();
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
                let opening = Opening::join(session, &channels, cursor.as_ref())
                    .await
                    .unwrap();
                if counts(client.dialect) {
                    client.head(&opening.cursor());
                }
                opening.flow().await
            }
            _ => {
                session.welcome();
                session
            }
        };
        let is_session = speaks_frames(client.dialect);
        let mut link = Link { client, session };
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
pub(super) async fn settle() {
    for _ in 0..24 {
        tokio::task::yield_now().await;
    }
}

impl Link {
    /// Reads what the socket takes; keeps the client as it is behind each byte that changes what it knows.
    pub(super) fn read(&mut self, most: usize, cuts: &mut Vec<Client>) {
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
        cuts: &mut Vec<Client>,
    ) {
        let subscribe = Subscribe {
            channel: channel.clone(),
            cursor: known.map(Cursor::One),
            presence: None,
            history: None,
        };
        let kind = CommandKind::Subscribe(subscribe);
        let command = vec![Inbound::Command(Command { id, kind })];
        let mut carried_out = pin!(Rc::clone(&self.session).carry_out(command));
        loop {
            tokio::select! {
                biased;
                () = &mut carried_out => return,
                () = settle() => self.read(usize::MAX / 2, cuts),
            };
        }
    }

    /// Whether the broker has ended the connection, or the client has been told to come again.
    pub(super) fn is_over(&self) -> bool {
        !self.session.outbox().is_open()
    }

    /// Reads until the client has been told everything, coming again as often as it has to.
    pub(super) async fn drain(mut self, world: &World, cuts: &mut Vec<Client>) -> Client {
        for _ in 0..200 {
            settle().await;
            self.read(usize::MAX / 2, cuts);
            if self.is_up_to_date(world).await {
                return self.client;
            }
            if self.is_over() {
                self = world.connect(self.client, cuts).await;
            }
        }
        panic!(
            "the client is never told everything: {:?}, known {:?}",
            self.client.told, self.client.known
        );
    }

    pub(super) async fn is_up_to_date(&self, world: &World) -> bool {
        for channel in &self.client.channels {
            let end = world.end(channel).await;
            let told = self.client.told.get(channel);
            let is_told = told.is_some_and(|told| {
                let mut missing = told.offset.0 + 1..=end.offset.0;
                let own = world.own.borrow();
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
