//! Subscribers, counted by the sessions.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How a session reaches its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket, raw or envelope.
    WebSocket,
    /// An event stream.
    Sse,
    /// An HTTP stream.
    Stream,
    /// Long or short polls.
    Poll,
}

impl Transport {
    const ALL: [Self; 4] = [Self::WebSocket, Self::Sse, Self::Stream, Self::Poll];

    /// The word for it in metrics, logs and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Stream => "stream",
            Self::Poll => "poll",
        }
    }
}

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

impl From<Transport> for TransportLabels {
    fn from(transport: Transport) -> Self {
        let transport = transport.as_str();
        Self { transport }
    }
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
    resumes: Family<ResumeLabels, Counter>,
    /// Channels joined now, summed over the sessions.
    pub subscriptions: Gauge,
    /// Gaps that subscribers were told of, for whatever reason.
    pub gaps: Counter,
    /// Sessions dropped because nothing answered the heartbeat.
    pub heartbeat_timeouts: Counter,
}

impl Sessions {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: Family::default(),
            opened: Family::default(),
            resumes: Family::default(),
            subscriptions: Gauge::default(),
            gaps: Counter::default(),
            heartbeat_timeouts: Counter::default(),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for transport in Transport::ALL {
            drop(metrics.open.get_or_create(&transport.into()));
            drop(metrics.opened.get_or_create(&transport.into()));
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
            "gaps",
            "Gaps that subscribers were told of",
            self.gaps.clone(),
        );
        registry.register(
            "heartbeat_timeouts",
            "Sessions dropped because the client did not answer the heartbeat",
            self.heartbeat_timeouts.clone(),
        );
    }

    /// A session has opened.
    pub fn opened(&self, transport: Transport) {
        let labels = TransportLabels::from(transport);
        self.open.get_or_create(&labels).inc();
        self.opened.get_or_create(&labels).inc();
    }

    /// A session that [`Self::opened`] counted is over.
    pub fn closed(&self, transport: Transport) {
        self.open.get_or_create(&transport.into()).dec();
    }

    /// A subscriber came with a cursor.
    pub fn resumed(&self, outcome: ResumeOutcome) {
        self.resumes.get_or_create(&outcome.into()).inc();
    }
}
