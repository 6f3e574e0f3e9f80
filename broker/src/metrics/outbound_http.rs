//! What the broker itself asks others for.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::config::HookEvent;

/// What came of fetching a set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetFetch {
    /// The keys are those that the provider has now.
    Fetched,
    /// The keys stay as they were.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl From<KeySetFetch> for OutcomeLabels {
    fn from(fetch: KeySetFetch) -> Self {
        let outcome = match fetch {
            KeySetFetch::Fetched => "fetched",
            KeySetFetch::Failed => "failed",
        };
        Self { outcome }
    }
}

/// What came of a question to the authorisation hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookOutcome {
    /// It may be done.
    Allowed,
    /// It may not.
    Refused,
    /// It was asked a moment ago, and the answer still counts.
    Cached,
    /// As many questions as may be asked at a time had no answer yet.
    Busy,
    /// There was no answer that could be used.
    Failed,
}

impl HookOutcome {
    const ALL: [Self; 5] = [
        Self::Allowed,
        Self::Refused,
        Self::Cached,
        Self::Busy,
        Self::Failed,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Cached => "cached",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabels {
    event: &'static str,
    outcome: &'static str,
}

impl HookLabels {
    const fn of(event: HookEvent, outcome: HookOutcome) -> Self {
        Self {
            event: event.as_str(),
            outcome: outcome.as_str(),
        }
    }
}

/// Figures about what the broker asks others for.
#[derive(Debug, Clone)]
pub struct OutboundHttp {
    /// Sets of keys that could not be fetched the last time.
    pub key_sets_failing: Gauge,
    key_set_fetches: Family<OutcomeLabels, Counter>,
    hook_requests: Family<HookLabels, Counter>,
    hook_duration: Histogram,
}

impl OutboundHttp {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            key_sets_failing: Gauge::default(),
            key_set_fetches: Family::default(),
            hook_requests: Family::default(),
            // 1 ms to 16 s: a backend beside the broker, and one in trouble.
            hook_duration: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
        };
        // A figure that is absent until something happens cannot be alerted on.
        for fetch in [KeySetFetch::Fetched, KeySetFetch::Failed] {
            drop(metrics.key_set_fetches.get_or_create(&fetch.into()));
        }
        for event in HookEvent::ALL {
            for outcome in HookOutcome::ALL {
                let labels = HookLabels::of(event, outcome);
                drop(metrics.hook_requests.get_or_create(&labels));
            }
        }
        metrics.name(registry);
        metrics
    }

    fn name(&self, registry: &mut Registry) {
        registry.register(
            "key_sets_failing",
            "JWK sets (auth.jwt.jwks_urls) that could not be fetched the last time",
            self.key_sets_failing.clone(),
        );
        registry.register(
            "key_set_fetches",
            "Fetches of JWK sets, by outcome",
            self.key_set_fetches.clone(),
        );
        registry.register(
            "hook_requests",
            "Questions for the authorisation hook, by event and outcome",
            self.hook_requests.clone(),
        );
        registry.register_with_unit(
            "hook_duration",
            "Time that the authorisation hook takes to answer, or to fail",
            Unit::Seconds,
            self.hook_duration.clone(),
        );
    }

    /// The authorisation hook was asked, or would have been.
    pub fn hook(&self, event: HookEvent, outcome: HookOutcome) {
        let labels = HookLabels::of(event, outcome);
        self.hook_requests.get_or_create(&labels).inc();
    }

    /// The authorisation hook has taken so long.
    pub fn hook_took(&self, duration: Duration) {
        self.hook_duration.observe(duration.as_secs_f64());
    }

    /// A set of keys was fetched, or not.
    pub fn key_set(&self, fetch: KeySetFetch) {
        self.key_set_fetches.get_or_create(&fetch.into()).inc();
    }
}
