//! Polls: what one that is answered costs.

use anyhow::Result;

use super::bench::{Bench, Cost};
use crate::floor::Batching;
use crate::load::{PollPlan, Polling, poll};
use crate::report::{Row, float};
use crate::server::Server;

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let kinds = [
        (Polling::Short, "short poll", 8),
        (Polling::Long, "long-poll", 100),
    ];
    let mut rows = Vec::new();
    for (polling, wire, pollers) in kinds {
        let compared = bench.compare(Batching::None, |server| {
            let plan = PollPlan {
                target: server.address(),
                pollers,
                polling,
                answers: bench
                    .effort
                    .messages
                    .saturating_mul(bench.effort.subscribers as u64),
                time: bench.effort.time,
            };
            cost_of_polls(server, &plan)
        })?;
        let row = Row::new(format!("{pollers} pollers"), wire, "µs CPU/answered poll");
        rows.push(compared.cost_row(row));
    }
    Ok(rows)
}

fn cost_of_polls(server: &Server, plan: &PollPlan) -> Result<Cost> {
    let before = server.usage_at_rest()?;
    let outcome = poll(plan)?;
    let after = server.usage_at_rest()?;
    let cpu = after.cpu.saturating_sub(before.cpu);
    let answers = float(outcome.answers.max(1));
    Ok(Cost {
        cpu_us: cpu.as_secs_f64() * 1e6 / answers,
        per_second: answers / outcome.elapsed.as_secs_f64(),
    })
}
