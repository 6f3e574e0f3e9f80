//! What the engine keeps, set from its figures whenever somebody asks for the metrics.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Figures about what the engine keeps.
#[derive(Debug, Clone)]
pub struct Engines {
    /// Channels that have subscribers or history.
    pub channels: Gauge,
    /// Messages in the histories of all channels.
    pub history_messages: Gauge,
    /// Bytes of memory these take.
    pub history_bytes: Gauge,
    /// Bytes of messages on the disk, where an engine keeps them there.
    pub disk_bytes: Gauge,
    /// Bytes of these that had to go early, because all histories together were too large.
    evicted_bytes: Counter,
    /// Members present, summed over the channels.
    pub presence_members: Gauge,
    /// The engine's server.
    pub server: EngineServers,
}

impl Engines {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            channels: Gauge::default(),
            history_messages: Gauge::default(),
            history_bytes: Gauge::default(),
            disk_bytes: Gauge::default(),
            evicted_bytes: Counter::default(),
            presence_members: Gauge::default(),
            server: EngineServers::register(registry),
        };
        metrics.name(registry);
        metrics
    }

    fn name(&self, registry: &mut Registry) {
        registry.register(
            "channels",
            "Channels that have subscribers or history",
            self.channels.clone(),
        );
        registry.register(
            "history_messages",
            "Messages in the histories of all channels",
            self.history_messages.clone(),
        );
        registry.register_with_unit(
            "history",
            "Memory that the histories of all channels take",
            Unit::Bytes,
            self.history_bytes.clone(),
        );
        registry.register_with_unit(
            "history_disk",
            "Bytes that messages take on the disk, by engines of kind disk",
            Unit::Bytes,
            self.disk_bytes.clone(),
        );
        registry.register_with_unit(
            "history_evicted",
            "Bytes that left a history early because all histories together were too large",
            Unit::Bytes,
            self.evicted_bytes.clone(),
        );
        registry.register(
            "presence_members",
            "Members present, summed over the channels",
            self.presence_members.clone(),
        );
    }

    /// Sets the bytes that had to go early since the start.
    pub fn set_evicted_bytes(&self, total: u64) {
        self.evicted_bytes.inner().store(total, Ordering::Relaxed);
    }
}

/// Figures about the server in the network that an engine asks.
#[derive(Debug, Clone, Default)]
pub struct EngineServers {
    /// Commands that wait for their answers.
    pub waiting: Gauge,
    commands: Counter,
    waited_seconds: Counter<f64, AtomicU64>,
    reconnects: Counter,
    rereads: Counter,
    ready: ReadyServers,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

/// Whether each server is ready. What the figure means is shown also where there is no server.
#[derive(Debug, Clone, Default)]
struct ReadyServers(Family<ServerLabels, Gauge>);

impl EncodeMetric for ReadyServers {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl EngineServers {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "engine_commands_waiting",
            "Commands that wait for the answers of the server of an engine of kind redis",
            metrics.waiting.clone(),
        );
        registry.register(
            "engine_commands",
            "Commands that the server of an engine of kind redis has answered, or that were given up",
            metrics.commands.clone(),
        );
        registry.register_with_unit(
            "engine_command",
            "For how long these answers were waited for, together",
            Unit::Seconds,
            metrics.waited_seconds.clone(),
        );
        registry.register(
            "engine_reconnects",
            "New connections to the server of an engine of kind redis after the first",
            metrics.reconnects.clone(),
        );
        registry.register(
            "engine_rereads",
            "Channels that had moved while a connection was lost, and were read again",
            metrics.rereads.clone(),
        );
        registry.register(
            "engine_server_ready",
            "1 for a server of an engine of kind redis that is connected and heard, otherwise 0",
            metrics.ready.clone(),
        );
        metrics
    }

    /// Sets which servers there are, and which of them are ready.
    pub fn set_ready(&self, servers: impl Iterator<Item = (String, bool)>) {
        for (server, is_ready) in servers {
            let labels = ServerLabels { server };
            self.ready.0.get_or_create(&labels).set(i64::from(is_ready));
        }
    }

    /// Sets the commands since the start, and for how long they were waited for.
    pub fn set_commands(&self, commands: u64, waited: Duration) {
        self.commands.inner().store(commands, Ordering::Relaxed);
        let seconds = waited.as_secs_f64().to_bits();
        self.waited_seconds
            .inner()
            .store(seconds, Ordering::Relaxed);
    }

    /// Sets what followed from lost connections since the start.
    pub fn set_losses(&self, reconnects: u64, rereads: u64) {
        self.reconnects.inner().store(reconnects, Ordering::Relaxed);
        self.rereads.inner().store(rereads, Ordering::Relaxed);
    }
}
