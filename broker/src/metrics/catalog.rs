//! All the groups of figures in one value, made once when the broker starts.

use std::fmt;
use std::time::Instant;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::{
    Connections, Deliveries, EngineRefusals, Engines, Gaps, Memory, OutboundHttp, Publications,
    Sessions, Shares, Tokens, Workers,
};
use crate::config::Config;

/// Everything the broker counts about itself. Cloning a group shares its figures.
#[derive(Debug)]
pub struct Metrics {
    /// Sockets, before they are anything else.
    pub connections: Connections,
    /// Subscribers.
    pub sessions: Sessions,
    /// What addresses may have.
    pub shares: Shares,
    /// Messages that were missed.
    pub gaps: Gaps,
    /// What publishers sent.
    pub publications: Publications,
    /// What subscribers were handed.
    pub deliveries: Deliveries,
    /// What each engine keeps, and how long it takes.
    pub engines: Engines,
    /// What is held for clients.
    pub memory: Memory,
    /// Tokens that count no longer.
    pub tokens: Tokens,
    /// What the broker asks others for.
    pub outbound_http: OutboundHttp,
    /// How long the worker threads keep others waiting.
    pub workers: Workers,
    registry: Registry,
}

impl Metrics {
    /// Those of a broker that has the default settings.
    pub fn new() -> Self {
        Self::of(&Config::default())
    }

    /// All figures at zero; the uptime counts from now.
    pub fn of(config: &Config) -> Self {
        let namespaces = &config.namespaces;
        let mut registry = Registry::with_prefix("widecast");
        register_process(&mut registry);
        EngineRefusals::register(&mut registry);
        Self {
            connections: Connections::register(&mut registry),
            sessions: Sessions::register(&mut registry),
            gaps: Gaps::register(&mut registry, namespaces),
            shares: Shares::register(&mut registry),
            publications: Publications::register(&mut registry, namespaces),
            deliveries: Deliveries::register(&mut registry),
            engines: Engines::register(&mut registry),
            memory: Memory::register(&mut registry),
            tokens: Tokens::register(&mut registry),
            outbound_http: OutboundHttp::register(&mut registry),
            workers: Workers::register(&mut registry),
            registry,
        }
    }

    /// The figures as the exporter reads them.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register_process(registry: &mut Registry) {
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version that runs", build);
    registry.register_collector(Box::new(Uptime(Instant::now())));
}

/// Read when it is asked for, so that nothing has to keep it up to date.
struct Uptime(Instant);

impl fmt::Debug for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uptime({:?})", self.0.elapsed())
    }
}

impl prometheus_client::collector::Collector for Uptime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauge = ConstGauge::new(self.0.elapsed().as_secs_f64());
        let encoder: MetricEncoder<'_> = encoder.encode_descriptor(
            "uptime",
            "Time since the start",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        gauge.encode(encoder)
    }
}
