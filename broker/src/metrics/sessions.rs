//! Subscribers, counted by the sessions.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The transports under which sessions are counted.
pub const TRANSPORTS: [&str; 4] = ["websocket", "sse", "stream", "poll"];

/// How sessions end.
pub const ENDINGS: [&str; 12] = [
    "client_left",
    "connection_failed",
    "heartbeat_timeout",
    "slow_consumer",
    "overloaded",
    "history_lost",
    "engine_unavailable",
    "refused",
    "kicked",
    "shutting_down",
    "answered",
    "never_begun",
];

/// How an attempt to resume from a cursor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeOutcome {
    /// Nothing was lost.
    Recovered,
    /// The history no longer reached back: the subscriber was told.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabels {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    transport: &'static str,
    ending: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResumeLabels {
    outcome: &'static str,
}

impl From<ResumeOutcome> for ResumeLabels {
    fn from(outcome: ResumeOutcome) -> Self {
        let outcome = match outcome {
            ResumeOutcome::Recovered => "recovered",
            ResumeOutcome::Lost => "lost",
        };
        Self { outcome }
    }
}

/// Figures about subscribers.
#[derive(Debug, Clone)]
pub struct Sessions {
    open: Family<TransportLabels, Gauge>,
    opened: Family<TransportLabels, Counter>,
    ended: Family<EndingLabels, Counter>,
    resumes: Family<ResumeLabels, Counter>,
    /// Channels joined now, summed over the sessions.
    pub subscriptions: Gauge,
    /// Sessions dropped because nothing answered the heartbeat.
    pub heartbeat_timeouts: Counter,
}

impl Sessions {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: Family::default(),
            opened: Family::default(),
            ended: Family::default(),
            resumes: Family::default(),
            subscriptions: Gauge::default(),
            heartbeat_timeouts: Counter::default(),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for transport in TRANSPORTS {
            let labels = TransportLabels { transport };
            drop(metrics.open.get_or_create(&labels));
            drop(metrics.opened.get_or_create(&labels));
            for ending in ENDINGS {
                let labels = EndingLabels { transport, ending };
                drop(metrics.ended.get_or_create(&labels));
            }
        }
        for outcome in [ResumeOutcome::Recovered, ResumeOutcome::Lost] {
            drop(metrics.resumes.get_or_create(&outcome.into()));
        }
        metrics.name(registry);
        metrics
    }

    fn name(&self, registry: &mut Registry) {
        registry.register("sessions", "Sessions open now", self.open.clone());
        registry.register("sessions_opened", "Sessions opened", self.opened.clone());
        registry.register(
            "sessions_ended",
            "Sessions ended, by how they ended",
            self.ended.clone(),
        );
        registry.register(
            "resumes",
            "Attempts to resume from a cursor",
            self.resumes.clone(),
        );
        registry.register(
            "subscriptions",
            "Channels joined now, summed over the sessions",
            self.subscriptions.clone(),
        );
        registry.register(
            "heartbeat_timeouts",
            "Sessions dropped because the client did not answer the heartbeat",
            self.heartbeat_timeouts.clone(),
        );
    }

    /// How many sessions are open, on all transports.
    pub fn open(&self) -> u64 {
        let open = |&transport: &&'static str| {
            let labels = TransportLabels { transport };
            self.open.get_or_create(&labels).get()
        };
        let open: i64 = TRANSPORTS.iter().map(open).sum();
        u64::try_from(open).unwrap_or(0)
    }

    /// A session has opened, on a transport of [`TRANSPORTS`].
    pub fn opened(&self, transport: &'static str) {
        let labels = TransportLabels { transport };
        self.open.get_or_create(&labels).inc();
        self.opened.get_or_create(&labels).inc();
    }

    /// A session that [`Self::opened`] counted is over, by one of [`ENDINGS`].
    pub fn ended(&self, transport: &'static str, ending: &'static str) {
        let labels = TransportLabels { transport };
        self.open.get_or_create(&labels).dec();
        let labels = EndingLabels { transport, ending };
        self.ended.get_or_create(&labels).inc();
    }

    /// A subscriber came with a cursor.
    pub fn resumed(&self, outcome: ResumeOutcome) {
        self.resumes.get_or_create(&outcome.into()).inc();
    }
}
