//! Figures of which there is one for each engine.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use widecast_protocol::ChannelName;

use super::latency::{LatencyCounts, ShownLatency};
use crate::config::NamespaceSettings;

/// The engine's name in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EngineLabels {
    engine: String,
}

impl EngineLabels {
    /// Those of the engine of this name.
    pub fn of(engine: &str) -> Self {
        let engine = engine.to_owned();
        Self { engine }
    }
}

/// What is counted for each engine that a namespace has chosen. It is found by a channel, without a lock and without making labels.
#[derive(Debug, Clone)]
pub(super) struct PerEngine<T> {
    /// That of the default namespace is the first.
    each: Vec<T>,
    /// Which of them the other namespaces have.
    namespaces: HashMap<String, usize>,
}

impl<T> PerEngine<T> {
    /// Makes one for the name of each engine.
    pub(super) fn new(namespaces: &NamespaceSettings, make: impl Fn(&str) -> T) -> Self {
        let mut names = vec![namespaces.default.engine.as_str()];
        let mut chosen = HashMap::new();
        for (namespace, rules) in &namespaces.named {
            let name = rules.engine.as_str();
            let known = names.iter().position(|&known| known == name);
            let index = known.unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            chosen.insert(namespace.clone(), index);
        }
        Self {
            each: names.into_iter().map(make).collect(),
            namespaces: chosen,
        }
    }

    /// That of the engine which a channel is in.
    pub(super) fn of(&self, channel: &ChannelName) -> &T {
        let namespace = channel.namespace();
        let chosen = namespace.and_then(|name| self.namespaces.get(name));
        &self.each[chosen.copied().unwrap_or(0)]
    }
}

/// Figures that are set whenever somebody asks for the metrics. What they mean is shown also where there are none.
#[derive(Debug, Clone)]
pub struct Labelled<S, M>(Family<S, M>);

/// One of them for each engine that has it.
pub type ByEngine<M> = Labelled<EngineLabels, M>;

impl<S: Clone + Eq + Hash, M: Default> Default for Labelled<S, M> {
    fn default() -> Self {
        Self(Family::default())
    }
}

impl<S: Clone + Eq + Hash, M: Default + Clone> Labelled<S, M> {
    fn of(&self, labels: &S) -> M {
        self.0.get_or_create_owned(labels)
    }
}

impl<S: Clone + Eq + Hash> Labelled<S, Gauge> {
    /// Sets what is so now.
    pub fn set(&self, labels: &S, figure: u64) {
        let figure = i64::try_from(figure).unwrap_or(i64::MAX);
        self.of(labels).set(figure);
    }
}

impl<S: Clone + Eq + Hash> Labelled<S, Counter> {
    /// Sets how much there has been since the start.
    pub fn set_total(&self, labels: &S, total: u64) {
        self.of(labels).inner().store(total, Ordering::Relaxed);
    }
}

impl<S: Clone + Eq + Hash> Labelled<S, ShownLatency> {
    /// Sets how long it has taken since the start.
    pub fn set_counts(&self, labels: &S, counts: LatencyCounts) {
        self.of(labels).set(counts);
    }
}

impl<S, M> EncodeMetric for Labelled<S, M>
where
    S: Clone + Eq + Hash + EncodeLabelSet,
    M: EncodeMetric + TypedMetric + Default,
{
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn a_channel_is_counted_for_the_engine_of_its_namespace() {
        let chosen = [("a", "kept"), ("b", "default"), ("c", "kept")];
        let layers = Layers::new().set("engine.kept.kind=memory");
        let layers = chosen.iter().fold(layers, |layers, (namespace, engine)| {
            layers.set(&format!("namespace.{namespace}.engine={engine}"))
        });
        let config = layers.load().unwrap().config;
        let names = PerEngine::new(&config.namespaces, str::to_owned);
        assert_eq!(names.each, ["default", "kept"]);
        let found = ["a:1", "b:1", "c:1", "d:1", "a", "default:1"].map(|channel| {
            let channel = ChannelName::parse(channel).unwrap();
            names.of(&channel).clone()
        });
        let expected = ["kept", "default", "kept", "default", "default", "default"];
        assert_eq!(found, expected);
    }
}
