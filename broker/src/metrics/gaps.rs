//! Messages that were missed: holes, which shards fill from the history, and gaps, of which subscribers are told.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

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

    fn labels(self) -> ReasonLabels {
        let reason = match self {
            Self::ResumedTooLate => "resumed_too_late",
            Self::TooSlow => "too_slow",
            Self::Hole => "hole",
        };
        ReasonLabels { reason }
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
    fn labels(self) -> OutcomeLabels {
        let outcome = match self {
            Self::Filled => "filled",
            Self::Lost => "lost",
        };
        OutcomeLabels { outcome }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Figures about messages that were missed.
#[derive(Debug, Clone)]
pub struct Gaps {
    told: Family<ReasonLabels, Counter>,
    holes: Family<OutcomeLabels, Counter>,
}

impl Gaps {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            told: Family::default(),
            holes: Family::default(),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for reason in GapReason::ALL {
            drop(metrics.told.get_or_create(&reason.labels()));
        }
        for outcome in [HoleOutcome::Filled, HoleOutcome::Lost] {
            drop(metrics.holes.get_or_create(&outcome.labels()));
        }
        registry.register(
            "gaps",
            "Gaps that subscribers were told of, by why",
            metrics.told.clone(),
        );
        registry.register(
            "holes",
            "Holes: messages of a channel that did not reach a worker as they came, and whether the history still had them",
            metrics.holes.clone(),
        );
        metrics
    }

    /// A subscriber is told of a gap.
    pub fn told(&self, reason: GapReason) {
        self.told.get_or_create(&reason.labels()).inc();
    }

    /// The history was read to fill a hole.
    pub fn hole(&self, outcome: HoleOutcome) {
        self.holes.get_or_create(&outcome.labels()).inc();
    }
}
