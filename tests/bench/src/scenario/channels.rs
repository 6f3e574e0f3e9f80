//! Many channels of one subscriber each: what finding them costs.

use anyhow::Result;

use super::bench::{Bench, Spread, cost_of_deliveries, swarm};
use crate::floor::Batching;
use crate::form::Form;
use crate::report::Row;

/// Enough publications in flight to keep the server busy.
const WINDOW: usize = 16;

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for channels in [bench.effort.connections / 10, bench.effort.connections] {
        let spread = Spread {
            subscribers: channels,
            channels,
        };
        let mut plan = bench.plan(WINDOW);
        plan.messages = plan
            .messages
            .saturating_mul(bench.effort.subscribers as u64);
        let compared = bench.compare(Batching::None, |server| {
            let mut swarm = swarm(server, Form::RawWebSocket, spread)?;
            cost_of_deliveries(server, &mut swarm, &plan)
        })?;
        let row = Row::new(
            format!("{channels} channels × 1, {WINDOW} in flight"),
            Form::RawWebSocket.label(),
            "µs CPU/publish+delivery",
        );
        rows.push(compared.cost_row(row));
    }
    Ok(rows)
}
