//! What the broker counts about itself, for Prometheus.
//!
//! One file per group of figures, named after who counts them; [`Metrics`] holds the groups and [`render`] writes
//! them out. A leaf: every layer may count here, and nothing here knows a layer. Counters are relaxed atomics; on the
//! delivery path add once per batch ([`Deliveries`]), never once per subscriber. No label ever comes from a client.

mod catalog;
mod connections;
mod deliveries;
mod exposition;
mod publications;
#[cfg(test)]
mod reference;
mod sessions;
mod storage;
mod workers;

pub use catalog::Metrics;
pub use connections::Connections;
pub use deliveries::{Deliveries, Policy};
pub use exposition::{Exposition, render};
pub use publications::Publications;
pub use sessions::{ResumeOutcome, Sessions, Transport};
pub use storage::Storage;
pub use workers::Workers;
