//! A worker whose engine fails when a test wants it to, and sessions there.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Origin};

use super::dialect::Dialect;
use super::identity::{Echo, Identity};
use super::services::Services;
use super::session::Session;
use super::transport::{Carrier, Transport};
use super::worker::Worker;
use crate::auth::{Authenticator, Principal, Subject};
use crate::config::Config;
use crate::engine::flaky::{FlakyEngine, FlakyStore};
use crate::engine::{Deliver, Engine, ManualClock, MemorySettings};
use crate::limits::Share;
use crate::metrics::Metrics;
use crate::registry::{Routes, Shard};

/// A worker of its own.
pub(super) struct Trial {
    pub(super) engine: Arc<FlakyEngine>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) worker: Worker,
    /// A channel for the sessions.
    pub(super) channel: ChannelName,
}

impl Trial {
    pub(super) fn new() -> Self {
        let config = Config::default();
        let routes = Routes::new();
        let deliver = Arc::clone(&routes) as Arc<dyn Deliver>;
        let clock = Arc::new(ManualClock::new());
        let store = FlakyStore::new(MemorySettings::default(), Arc::clone(&clock) as _);
        let engine = Arc::new(store.node(deliver));
        let any_engine = Arc::clone(&engine) as Arc<dyn Engine>;
        let metrics = Arc::new(Metrics::new());
        let shard = Shard::start(&routes, &any_engine, &metrics, Duration::from_secs(10));
        let auth = Authenticator::new(&config).unwrap();
        let services = Services::new(Arc::new(config), auth, any_engine, metrics, routes);
        Self {
            engine,
            clock,
            worker: Worker::new(Arc::new(services), shard),
            channel: ChannelName::parse("a").unwrap(),
        }
    }

    /// A session of anybody.
    pub(super) fn session(&self) -> Rc<Session> {
        self.session_of(Subject::Anybody)
    }

    /// A session of somebody.
    pub(super) fn session_of(&self, subject: Subject) -> Rc<Session> {
        let carrier = Carrier {
            dialect: Dialect::connected(Wire::JsonWebSocket),
            transport: Transport::WebSocket,
        };
        self.open(carrier, subject)
    }

    /// A session of polls.
    pub(super) fn polled_session(&self) -> Rc<Session> {
        let carrier = Carrier {
            dialect: Dialect::polled(Wire::JsonNdjson),
            transport: Transport::Poll,
        };
        self.open(carrier, Subject::Anybody)
    }

    fn open(&self, carrier: Carrier, subject: Subject) -> Rc<Session> {
        let share = Share::default();
        let held = share.open_session().unwrap();
        let identity = Identity {
            sender: None,
            echo: Echo::Off,
            principal: Principal::new(subject, Origin::unknown()),
            share,
            headers: Vec::new(),
        };
        Session::new(&self.worker, identity, held, carrier)
    }
}
