//! One subscriber: what an HTTP publication costs, its one delivery included.

use anyhow::Result;

use super::bench::{Bench, Spread, cost_of_deliveries, swarm};
use crate::floor::Batching;
use crate::form::Form;
use crate::report::{Row, Target};

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (window, target) in [(1, None), (32, Some(Target::AtMost(13.0)))] {
        let mut plan = bench.plan(window);
        plan.messages = plan
            .messages
            .saturating_mul(bench.effort.subscribers as u64);
        let compared = bench.compare(Batching::None, |server| {
            let mut swarm = swarm(server, Form::RawWebSocket, Spread::one_channel(1))?;
            cost_of_deliveries(server, &mut swarm, &plan)
        })?;
        let mut row = Row::new(
            format!("HTTP publish, 1 subscriber, {window} in flight"),
            Form::RawWebSocket.label(),
            "µs CPU/publish+delivery",
        );
        row.target = target;
        rows.push(compared.cost_row(row));
    }
    Ok(rows)
}
