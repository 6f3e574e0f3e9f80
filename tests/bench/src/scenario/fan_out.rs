//! One channel, many subscribers: what one delivery costs.

use anyhow::Result;

use super::bench::{Bench, Spread, cost_of_deliveries, swarm};
use crate::floor::Batching;
use crate::report::{Row, Target};

/// How many messages the batched floor puts into one write, like the broker's flush list.
pub(super) const BATCH: usize = 32;

/// The targets of the delivery path: one write for each delivery, and several deliveries in one write.
const ALONE: (usize, Batching, Target) = (1, Batching::None, Target::TimesFloor(1.10));
const EIGHT: (usize, Batching, Target) = (8, Batching::UpTo(BATCH), Target::TimesFloor(1.40));

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let subscribers = bench.effort.subscribers;
    let mut rows = Vec::new();
    for (window, batching, target) in [ALONE, EIGHT] {
        for &form in bench.contender.forms() {
            let plan = bench.plan(window);
            let compared = bench.compare(batching, |server| {
                let mut swarm = swarm(server, form, Spread::one_channel(subscribers))?;
                cost_of_deliveries(server, &mut swarm, &plan)
            })?;
            let scenario = format!("fan-out 1 × {subscribers}, {window} in flight");
            let row = Row::new(scenario, form.label(), "µs CPU/delivery").with_target(target);
            rows.push(compared.cost_row(row));
        }
    }
    Ok(rows)
}
