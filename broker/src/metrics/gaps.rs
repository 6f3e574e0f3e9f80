//! Messages that were missed: holes, which shards fill from the history, and gaps, of which subscribers are told.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use widecast_protocol::ChannelName;

use super::per_engine::PerEngine;
use crate::config::NamespaceSettings;

/// Why a subscriber was told of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// It came with a cursor to which the history no longer reaches back.
    ResumedTooLate,
    /// It read so slowly that the history no longer reaches back.
    TooSlow,
    /// The messages did not reach this node, and the engine does not have them any more.
    Hole,
}

impl GapReason {
    const ALL: [Self; 3] = [Self::ResumedTooLate, Self::TooSlow, Self::Hole];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ResumedTooLate => "resumed_too_late",
            Self::TooSlow => "too_slow",
            Self::Hole => "hole",
        }
    }
}

/// What became of a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleOutcome {
    /// Its messages were read from the history: nobody noticed.
    Filled,
    /// The history does not have them any more: the subscribers were told.
    Lost,
}

impl HoleOutcome {
    const ALL: [Self; 2] = [Self::Filled, Self::Lost];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::Lost => "lost",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    engine: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    engine: String,
    outcome: &'static str,
}

/// Figures about messages that were missed. Of each engine there are all from the start: a figure that is absent until something happens
/// cannot be alerted on.
#[derive(Debug, Clone)]
pub struct Gaps {
    /// In the order of [`GapReason::ALL`].
    told: PerEngine<[Counter; 3]>,
    /// In the order of [`HoleOutcome::ALL`].
    holes: PerEngine<[Counter; 2]>,
}

impl Gaps {
    pub(super) fn register(registry: &mut Registry, namespaces: &NamespaceSettings) -> Self {
        let told: Family<ReasonLabels, Counter> = Family::default();
        let holes: Family<OutcomeLabels, Counter> = Family::default();
        let metrics = Self {
            told: PerEngine::new(namespaces, |engine| {
                GapReason::ALL.map(|reason| {
                    let (engine, reason) = (engine.to_owned(), reason.as_str());
                    told.get_or_create_owned(&ReasonLabels { engine, reason })
                })
            }),
            holes: PerEngine::new(namespaces, |engine| {
                HoleOutcome::ALL.map(|outcome| {
                    let (engine, outcome) = (engine.to_owned(), outcome.as_str());
                    holes.get_or_create_owned(&OutcomeLabels { engine, outcome })
                })
            }),
        };
        registry.register("gaps", "Gaps that subscribers were told of, by why", told);
        registry.register(
            "holes",
            "Holes: messages of a channel that did not reach a worker as they came, and whether the history still had them",
            holes,
        );
        metrics
    }

    /// A subscriber is told of a gap in a channel.
    pub fn told(&self, channel: &ChannelName, reason: GapReason) {
        self.told.of(channel)[reason as usize].inc();
    }

    /// The history of a channel was read to fill a hole.
    pub fn hole(&self, channel: &ChannelName, outcome: HoleOutcome) {
        self.holes.of(channel)[outcome as usize].inc();
    }

    /// How many gaps of a channel's engine were told for this reason.
    #[cfg(test)]
    pub(crate) fn count_told(&self, channel: &ChannelName, reason: GapReason) -> u64 {
        self.told.of(channel)[reason as usize].get()
    }

    /// How many holes of a channel's engine ended so.
    #[cfg(test)]
    pub(crate) fn holes(&self, channel: &ChannelName, outcome: HoleOutcome) -> u64 {
        self.holes.of(channel)[outcome as usize].get()
    }
}
