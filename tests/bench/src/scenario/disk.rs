//! The disk engine, with both durabilities: in the floor's place stands the broker with the memory engine.

use anyhow::Result;

use super::bench::{Bench, Contender, Spread, cost_of_deliveries, swarm};
use crate::form::Form;
use crate::report::Row;
use crate::server::Server;

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
            let disk = Server::on_disk(command, durability)?;
            let compared = bench.compare_with(&disk, &Server::broker(command)?, |server| {
                let mut swarm = swarm(server, form, Spread::one_channel(1))?;
                cost_of_deliveries(server, &mut swarm, &plan)
            })?;
            let scenario = format!("durability {durability}, 1 subscriber, {window} in flight");
            let row = Row::new(scenario, form.label(), "µs CPU/publish+delivery");
            rows.push(compared.cost_row(row));
        }
    }
    Ok(rows)
}
