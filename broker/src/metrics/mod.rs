//! What the broker counts about itself, for Prometheus.
//!
//! One file per group of figures, named after who counts them; [`Metrics`] holds the groups and [`render`] writes
//! them out. A leaf: every layer may count here, and nothing here knows a layer. Counters are relaxed atomics; on the
//! delivery path add once per batch ([`Deliveries`]), never once per subscriber. No label ever comes from a client.

mod catalog;
mod connections;
mod deliveries;
mod engine_refusals;
mod engines;
mod exposition;
mod gaps;
mod latency;
mod memory_budget;
mod outbound_http;
mod per_engine;
mod publications;
#[cfg(test)]
mod reference_tests;
mod sessions;
mod shares;
mod tokens;
mod workers;

pub use catalog::Metrics;
pub use connections::{Connections, Slowness};
pub use deliveries::{Deliveries, Policy};
pub use engine_refusals::EngineRefusals;
pub use engines::{EngineDisks, EngineServers, Engines, ServerLabels};
pub use exposition::{Exposition, render};
pub use gaps::{GapReason, Gaps, HoleOutcome};
pub use latency::{Latency, LatencyCounts, ShownLatency};
pub use memory_budget::Memory;
pub use outbound_http::{HookOutcome, KeySetFetch, OutboundHttp};
pub use per_engine::{ByEngine, EngineLabels, Labelled};
pub use publications::Publications;
pub use sessions::{ENDINGS, ResumeOutcome, Sessions, TRANSPORTS};
pub use shares::{ShareLimit, Shares};
pub use tokens::Tokens;
pub use workers::Workers;
