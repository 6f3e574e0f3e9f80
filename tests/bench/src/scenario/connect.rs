//! Setting up: how many connections a second become subscriptions, and what one costs.

use anyhow::Result;

use super::bench::{Bench, Cost, Spread, swarm};
use crate::floor::Batching;
use crate::form::Form;
use crate::report::{Row, Target, float};
use crate::server::Server;

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let connections = bench.effort.connections;
    let mut rows = Vec::new();
    for form in [Form::RawWebSocket, Form::JsonWebSocket, Form::Sse] {
        let compared = bench.compare(Batching::None, |server| set_up(bench, server, form))?;
        let scenario = format!("set-up of {connections}");
        let rate = Row::new(scenario.clone(), form.label(), "connections/s")
            .with_target(Target::AtLeast(20_000.0));
        rows.push(compared.fill(rate, |cost| cost.per_second));
        let cost = Row::new(scenario, form.label(), "µs CPU/connection");
        rows.push(compared.fill(cost, |cost| cost.cpu_us));
    }
    Ok(rows)
}

fn set_up(bench: &Bench, server: &Server, form: Form) -> Result<Cost> {
    let connections = bench.effort.connections;
    // The end of the connections before is no part of the set-up of these.
    let before = server.usage_at_rest()?;
    let swarm = swarm(server, form, Spread::one_channel(connections))?;
    let after = server.usage_at_rest()?;
    let cpu = after.cpu.saturating_sub(before.cpu);
    let count = float(connections as u64);
    Ok(Cost {
        cpu_us: cpu.as_secs_f64() * 1e6 / count,
        per_second: count / swarm.set_up_time().as_secs_f64(),
    })
}
