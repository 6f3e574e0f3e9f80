//! After how long something that an engine could not do is tried again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Growing intervals from the shortest to the longest, each with as much again left to chance, so that nodes that have lost a server
/// together do not come back together. There is no last one.
pub fn retry_intervals(shortest: Duration, longest: Duration) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intervals_grow_to_a_longest_one_and_never_end() {
        let (shortest, longest) = (Duration::from_millis(250), Duration::from_secs(15));
        let intervals: Vec<_> = retry_intervals(shortest, longest).take(100).collect();
        let within = |interval: &Duration, longest| (shortest..=2 * longest).contains(interval);
        assert!(within(&intervals[0], shortest));
        assert!(intervals.iter().all(|one| within(one, longest)));
        assert!(intervals[99] >= longest);
        assert_ne!(intervals[98], intervals[99], "left to chance");
    }
}
