//! What each engine keeps, and how long it takes for it: set from its figures whenever somebody asks for the metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::latency::ShownLatency;
use super::per_engine::{ByEngine, Labelled};
#[cfg(test)]
use super::{EngineLabels, LatencyCounts};

/// Figures about the engines.
#[derive(Debug, Clone)]
pub struct Engines {
    /// Channels that have subscribers or history.
    pub channels: ByEngine<Gauge>,
    /// Messages in the histories of all channels.
    pub history_messages: ByEngine<Gauge>,
    /// Bytes of memory these take.
    pub history_bytes: ByEngine<Gauge>,
    /// Bytes of these that had to go early, because all histories together were too large.
    pub evicted_bytes: ByEngine<Counter>,
    /// Members present, summed over the channels.
    pub presence_members: ByEngine<Gauge>,
    /// Their disks.
    pub disk: EngineDisks,
    /// Their servers.
    pub server: EngineServers,
}

impl Engines {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            channels: ByEngine::default(),
            history_messages: ByEngine::default(),
            history_bytes: ByEngine::default(),
            evicted_bytes: ByEngine::default(),
            presence_members: ByEngine::default(),
            disk: EngineDisks::register(registry),
            server: EngineServers::register(registry),
        };
        metrics.name(registry);
        metrics
    }

    /// Every figure has one sample, so that its labels are seen.
    #[cfg(test)]
    pub(super) fn show_samples(&self) {
        let one = EngineLabels::of("default");
        let (disk, server) = (&self.disk, &self.server);
        let gauges = [
            &self.channels,
            &self.history_messages,
            &self.history_bytes,
            &self.presence_members,
            &disk.bytes,
            &disk.unwritten,
            &disk.unwritten_bytes,
            &server.waiting,
        ];
        for gauge in gauges {
            gauge.set(&one, 0);
        }
        for counter in [&self.evicted_bytes, &server.reconnects, &server.rereads] {
            counter.set_total(&one, 0);
        }
        for latency in [&disk.write_duration, &server.command_duration] {
            latency.set_counts(&one, LatencyCounts::default());
        }
        let labels = ServerLabels {
            engine: "default".to_owned(),
            server: "127.0.0.1:6379".to_owned(),
        };
        server.ready.set(&labels, 0);
    }

    fn name(&self, registry: &mut Registry) {
        registry.register(
            "channels",
            "Channels that have subscribers or history; of an engine of kind redis, those with subscribers here",
            self.channels.clone(),
        );
        registry.register(
            "history_messages",
            "Messages in the histories of all channels, but for engines of kind redis",
            self.history_messages.clone(),
        );
        registry.register_with_unit(
            "history",
            "Memory that the histories of all channels take here",
            Unit::Bytes,
            self.history_bytes.clone(),
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
}

/// Figures about the disks of engines of kind disk.
#[derive(Debug, Clone, Default)]
pub struct EngineDisks {
    /// Bytes of messages there.
    pub bytes: ByEngine<Gauge>,
    /// How long writes take.
    pub write_duration: ByEngine<ShownLatency>,
    /// Publications that are not written yet.
    pub unwritten: ByEngine<Gauge>,
    /// Bytes of memory these take.
    pub unwritten_bytes: ByEngine<Gauge>,
}

impl EngineDisks {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_with_unit(
            "history_disk",
            "Bytes that messages take on the disk, by engines of kind disk",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register_with_unit(
            "engine_write_duration",
            "Time that an engine of kind disk takes to write the publications that have come, and to hand them over",
            Unit::Seconds,
            metrics.write_duration.clone(),
        );
        registry.register(
            "engine_unwritten_messages",
            "Publications that wait for an engine of kind disk to write them, with those that it writes now",
            metrics.unwritten.clone(),
        );
        registry.register_with_unit(
            "engine_unwritten",
            "Memory that these take",
            Unit::Bytes,
            metrics.unwritten_bytes.clone(),
        );
        metrics
    }
}

/// Figures about the servers in the network that engines of kind redis ask.
#[derive(Debug, Clone, Default)]
pub struct EngineServers {
    /// Commands that wait for their answers.
    pub waiting: ByEngine<Gauge>,
    /// How long they wait.
    pub command_duration: ByEngine<ShownLatency>,
    /// New connections after the first.
    pub reconnects: ByEngine<Counter>,
    /// Channels that had moved while nothing was heard of them.
    pub rereads: ByEngine<Counter>,
    /// Whether each server is ready.
    pub ready: Labelled<ServerLabels, Gauge>,
}

/// One of the servers of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerLabels {
    /// The engine's name in the settings.
    pub engine: String,
    /// The server's name, without a password.
    pub server: String,
}

impl EngineServers {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "engine_commands_waiting",
            "Commands that wait for the answers of the server of an engine of kind redis",
            metrics.waiting.clone(),
        );
        registry.register_with_unit(
            "engine_command_duration",
            "Time until the server of an engine of kind redis has answered a command, or the broker has given it up",
            Unit::Seconds,
            metrics.command_duration.clone(),
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
}
