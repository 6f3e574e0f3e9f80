//! The disk engine, with both durabilities: in the floor's place stands the broker with the memory engine.

use anyhow::Result;

use super::bench::{Bench, Contender, Spread, cost_of_deliveries, swarm};
use crate::form::Form;
use crate::report::{Row, Target};
use crate::server::Server;

/// How much more a publication may cost with `durability = "process"`.
const PROCESS: Target = Target::TimesFloor(1.3);

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let Contender::Broker(command) = &bench.contender else {
        return Ok(Vec::new());
    };
    let form = Form::RawWebSocket;
    let mut rows = Vec::new();
    for durability in ["process", "power"] {
        for window in [1, 32] {
            let mut plan = bench.plan(window);
            plan.messages = u64::MAX;
            let measure = |server: &Server| {
                let mut swarm = swarm(server, form, Spread::one_channel(1))?;
                cost_of_deliveries(server, &mut swarm, &plan)
            };
            // In new processes each round: two of the same program differ.
            let compared = bench.compare_anew(
                || measure(&Server::on_disk(command, durability)?),
                || measure(&Server::broker(command)?),
            )?;
            let scenario = format!("durability {durability}, 1 subscriber, {window} in flight");
            let mut row = Row::new(scenario, form.label(), "µs CPU/publish+delivery");
            if durability == "process" {
                row = row.with_target(PROCESS);
            }
            rows.push(compared.cost_row(row));
        }
    }
    Ok(rows)
}
