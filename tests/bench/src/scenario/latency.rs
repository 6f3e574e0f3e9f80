//! Ten messages a second to many subscribers: how long a delivery takes.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Spread, swarm};
use crate::floor::Batching;
use crate::form::Form;
use crate::load::{Plan, Publishers, drive};
use crate::report::{Row, Target};

/// Ten a second: far from any queueing.
const INTERVAL: Duration = Duration::from_millis(100);

/// One measurement takes this many times as long as the others, for enough messages.
const PATIENCE: u32 = 4;

struct Latency {
    median_ms: f64,
    p99_ms: f64,
}

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let subscribers = bench.effort.subscribers;
    let plan = Plan {
        interval: INTERVAL,
        time: bench.effort.time * PATIENCE,
        ..bench.plan(4)
    };
    let form = Form::RawWebSocket;
    let compared = bench.compare(Batching::None, |server| {
        let mut swarm = swarm(server, form, Spread::one_channel(subscribers))?;
        let mut publishers = Publishers::connect(&swarm, &plan)?;
        let mut latencies = drive(&mut swarm, &mut publishers, &plan)?.latencies;
        latencies.sort_unstable();
        Ok(Latency {
            median_ms: percentile_ms(&latencies, 50),
            p99_ms: percentile_ms(&latencies, 99),
        })
    })?;
    let scenario = format!("latency, 1 × {subscribers}, 10 messages/s");
    let median = Row::new(scenario.clone(), form.label(), "ms p50");
    let p99 = Row::new(scenario, form.label(), "ms p99").with_target(Target::TimesFloor(1.10));
    Ok(vec![
        compared.fill(median, |latency| latency.median_ms),
        compared.fill(p99, |latency| latency.p99_ms),
    ])
}

/// The smallest latency that so many percent are not above.
pub(super) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted
        .get(rank - 1)
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        for (percent, wanted) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            let difference: f64 = percentile_ms(&sorted, percent) - wanted;
            assert!(difference.abs() < 1e-9, "{percent}");
        }
        assert!(percentile_ms(&[], 50).is_nan());
    }
}
