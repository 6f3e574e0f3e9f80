//! Idle connections: what each keeps in the server's memory. What the kernel keeps for a socket is not counted.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Spread, swarm};
use crate::floor::Batching;
use crate::form::Form;
use crate::report::{Row, Target, float};
use crate::server::Server;

/// Opened and closed before: what a server keeps for good after its first connections is not theirs.
const WARM_UP: usize = 100;

/// Long enough for buffers to be given back.
const IDLE: Duration = Duration::from_secs(1);

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let connections = bench.effort.connections;
    let mut rows = Vec::new();
    for &form in bench.contender.forms() {
        let mut row = Row::new(
            format!("{connections} idle connections"),
            form.label(),
            "bytes RSS/connection",
        )
        .with_target(Target::AtMost(2_500.0));
        // A new process each time: an allocator gives memory of former connections to new ones.
        for _ in 0..bench.effort.rounds {
            row.floor
                .push(bytes_each(bench, &Server::floor(Batching::None)?, form)?);
            let broker = bench.start_contender(Batching::None)?;
            row.broker.push(bytes_each(bench, &broker, form)?);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn bytes_each(bench: &Bench, server: &Server, form: Form) -> Result<f64> {
    let connections = bench.effort.connections;
    drop(swarm(server, form, Spread::one_channel(WARM_UP))?);
    let before = server.usage_at_rest()?;
    let mut swarm = swarm(server, form, Spread::one_channel(connections))?;
    swarm.idle(IDLE)?;
    let after = server.usage_at_rest()?;
    let grown = after.rss_bytes.saturating_sub(before.rss_bytes);
    Ok(float(grown) / float(connections as u64))
}
