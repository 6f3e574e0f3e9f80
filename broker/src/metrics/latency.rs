//! How long something took that is done for each message: counted without a lock, which the histograms of the exporter have.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// The upper bounds: 50 µs to 26 s, from memory that the system writes to a disk later to a server in trouble.
const BOUNDS: [Duration; 20] = {
    let mut bounds = [Duration::ZERO; 20];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = Duration::from_micros(50 << index);
        index += 1;
    }
    bounds
};

/// What took longer than all of them has a bucket, too.
const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations that are counted.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Latency {
    /// It took so long once more.
    pub fn observe(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|&bound| bound < duration);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What has been counted up to now.
    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts {
            buckets: array::from_fn(|index| self.buckets[index].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

/// Durations that have been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LatencyCounts {
    /// How many there are in each bucket alone.
    buckets: [u64; BUCKETS],
    sum: Duration,
}

impl LatencyCounts {
    /// These and those.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            buckets: array::from_fn(|index| self.buckets[index] + other.buckets[index]),
            sum: self.sum + other.sum,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// What is shown of them.
#[derive(Debug, Clone, Default)]
pub struct ShownLatency(Arc<Mutex<LatencyCounts>>);

impl ShownLatency {
    pub(super) fn set(&self, counts: LatencyCounts) {
        *self.counts() = counts;
    }

    fn counts(&self) -> MutexGuard<'_, LatencyCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TypedMetric for ShownLatency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for ShownLatency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = *self.counts();
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64);
        let bounds = bounds.chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts.buckets).collect();
        let sum = counts.sum.as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, counts.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The upper bounds of the buckets in which something is.
    fn bounds(counts: LatencyCounts) -> Vec<Duration> {
        let bounds = BOUNDS.into_iter().chain([Duration::MAX]);
        let found = bounds.zip(counts.buckets).filter(|&(_, count)| count > 0);
        found.map(|(bound, _)| bound).collect()
    }

    #[test]
    fn each_duration_is_in_the_bucket_whose_bound_it_does_not_exceed() {
        let latency = Latency::default();
        let micros = [0, 50, 51, 100, 30_000_000];
        for duration in micros.map(Duration::from_micros) {
            latency.observe(duration);
        }
        let counts = latency.counts();
        let (first, second) = (Duration::from_micros(50), Duration::from_micros(100));
        assert_eq!(bounds(counts), [first, second, Duration::MAX]);
        assert_eq!(counts.count(), 5);
        assert_eq!(counts.sum, Duration::from_micros(30_000_201));
        let twice = counts.plus(counts);
        assert_eq!((twice.count(), twice.sum), (10, counts.sum * 2));
    }
}
