//! The services that every handler and session works with, made once by the composition root.

use std::sync::Arc;

use tokio::sync::watch;
use widecast_protocol::{ChannelName, Code};

use crate::auth::Authenticator;
use crate::config::Config;
use crate::engine::{self, Engine, HistoryLimits, MemberQuery, NamedEngine};
use crate::limits::{Quotas, Shares};
use crate::memory_budget::{Bounds, Turns};
use crate::metrics::{Limit, Metrics};
use crate::outbound_http::Hook;
use crate::registry::Routes;

use super::directory::SessionDirectory;
use super::nodes::Nodes;
use super::order::Workers;
use super::refusal::Refusal;

/// More than what a message takes besides its data: one of as many bytes as a history may have still fits.
const MESSAGE_OVERHEAD_BYTES: u64 = 4096;

/// The parts of the broker that serve clients.
pub struct Services {
    /// The settings.
    pub config: Arc<Config>,
    /// Checks credentials.
    pub auth: Authenticator,
    /// The authorisation hook, if one is configured.
    pub hook: Option<Hook>,
    /// Offsets, history and presence.
    pub engine: Arc<dyn Engine>,
    /// The engines that it consists of, for the metrics.
    pub engines: Vec<NamedEngine>,
    /// What the broker counts about itself.
    pub metrics: Arc<Metrics>,
    /// Which shards have subscribers of a channel.
    pub routes: Arc<Routes>,
    /// What the clients of each address may have.
    pub shares: Arc<Shares>,
    /// How much each session, user, API key and channel may have.
    pub quotas: Quotas,
    /// How much memory each part may take.
    pub bounds: Bounds,
    /// The turns of large requests.
    pub turns: Turns,
    /// The sessions that can be reached by name.
    pub sessions: SessionDirectory,
    /// Every worker, for what an operator has done to sessions.
    pub workers: Workers,
    /// The nodes that share an engine with this one.
    pub nodes: Nodes,
    draining: watch::Sender<bool>,
}

impl Services {
    /// The services of a broker that is starting.
    pub fn new(
        config: Arc<Config>,
        auth: Authenticator,
        engine: Arc<dyn Engine>,
        metrics: Arc<Metrics>,
        routes: Arc<Routes>,
    ) -> Self {
        let bounds = Bounds::of(&config);
        let name = config.namespaces.default.engine.as_str().to_owned();
        let only = NamedEngine {
            name,
            engine: Arc::clone(&engine),
        };
        Self {
            shares: Arc::new(Shares::new(&config, &metrics)),
            quotas: Quotas::new(&config.limits, &metrics.shares),
            turns: Turns::new(bounds.requests),
            bounds,
            nodes: Nodes::new(&config, "this".to_owned()),
            config,
            auth,
            hook: None,
            engine,
            engines: vec![only],
            metrics,
            routes,
            sessions: SessionDirectory::default(),
            workers: Workers::default(),
            draining: watch::Sender::new(false),
        }
    }

    /// The same with an authorisation hook.
    #[must_use]
    pub fn asking(self, hook: Option<Hook>) -> Self {
        Self { hook, ..self }
    }

    /// The same where the engine consists of these.
    #[must_use]
    pub fn with_engines(self, engines: Vec<NamedEngine>) -> Self {
        Self { engines, ..self }
    }

    /// The same under this name.
    #[must_use]
    pub fn named(self, name: String) -> Self {
        let nodes = Nodes::new(&self.config, name);
        Self { nodes, ..self }
    }

    /// Does work in which the engine is asked several questions, and waits for it no longer altogether than for one ([`engine::with_patience`]).
    ///
    /// # Cancel safety
    /// That of the work.
    pub fn with_patience<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        engine::with_patience(self.engine.patience(), work)
    }

    /// Whether an engine is in the network, so that its answers take their time.
    pub(super) fn waits_for_engine(&self) -> bool {
        self.engine.patience().is_some()
    }

    /// Whether a channel keeps no messages, so that nobody resumes there.
    pub fn is_ephemeral(&self, channel: &ChannelName) -> bool {
        self.config.namespace(channel).ephemeral.is_on()
    }

    /// How much history a channel keeps.
    pub fn history_limits(&self, channel: &ChannelName) -> HistoryLimits {
        if self.is_ephemeral(channel) {
            return HistoryLimits::NONE;
        }
        let rules = self.config.namespace(channel);
        HistoryLimits {
            messages: rules.history_messages,
            bytes: match rules.history_bytes.get() {
                0 => 0,
                bytes => bytes + MESSAGE_OVERHEAD_BYTES,
            },
            age: rules.history_age,
        }
    }

    /// A page of a channel's members: those behind `after`, as many as one answer may have.
    pub fn member_query(&self, after: Option<String>, limit: Option<usize>) -> MemberQuery {
        let most = self.config.limits.members_per_list;
        MemberQuery {
            after,
            limit: limit.map_or(most, |limit| limit.min(most)),
            bytes: self.config.outbox.bytes.as_usize() / 4,
            watcher: None,
        }
    }

    /// The refusal of what is beyond a limit, counted.
    pub fn beyond(&self, limit: Limit, code: Code, detail: impl Into<String>) -> Refusal {
        self.metrics.limits.refused(limit);
        Refusal::new(code, detail)
    }

    /// Refuses new work while clients make the broker hold as much as it may.
    ///
    /// # Errors
    /// `overloaded`, while it is so.
    pub fn check_memory(&self) -> Result<(), Refusal> {
        Refusal::while_full().inspect_err(|_| self.metrics.limits.refused(Limit::Memory))
    }

    /// From now on the broker is not ready for new clients.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether the broker is taking leave of its clients.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Waits until the broker takes leave of its clients.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn leave_begins(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // The sender is gone only when the broker is.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }
}
