//! Clients that never read, beside one that does: what they make the server keep.

use anyhow::{Context, Result};

use super::bench::{Bench, Contender, Spread, swarm};
use crate::floor::Batching;
use crate::form::Form;
use crate::load::{Plan, Publishers, drive};
use crate::report::{Row, Target, float};

/// How many clients never read.
const SLOW: usize = 100;

/// Large messages, so that what the kernel buffers for each is soon full: 64 MiB for each client.
const PAYLOAD_BYTES: usize = 16 * 1024;
const MESSAGES: u64 = 4096;

/// Memory is looked at this often on the way.
const PARTS: u64 = 8;

/// What they may cost together: flat, but for the newest messages, which all outboxes share. Without a bound: 64 MiB.
const LIMIT_MIB: f64 = 16.0;

const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    // The floor has no outboxes: it cuts a slow client off at once.
    if let Contender::Floor = bench.contender {
        return Ok(Vec::new());
    }
    let scenario = format!("{SLOW} clients that never read");
    let mut rows = Vec::new();
    for form in [Form::RawWebSocket, Form::Sse] {
        let mut growth = Row::new(scenario.clone(), form.label(), "MiB RSS growth, peak")
            .with_target(Target::AtMost(LIMIT_MIB));
        let mut cut_off = Row::new(scenario.clone(), form.label(), "clients cut off");
        for _ in 0..bench.effort.rounds {
            let (grown, closed) = measure(bench, form)?;
            growth.broker.push(grown);
            cut_off.broker.push(closed);
        }
        rows.extend([growth, cut_off]);
    }
    Ok(rows)
}

/// The peak growth in MiB, and how many slow clients were cut off.
fn measure(bench: &Bench, form: Form) -> Result<(f64, f64)> {
    let server = bench.start_contender(Batching::None)?;
    let mut healthy = swarm(&server, form, Spread::one_channel(1))?;
    let mut slow = swarm(&server, form, Spread::one_channel(SLOW))?;
    let plan = Plan {
        messages: MESSAGES / PARTS,
        time: bench.effort.time * 10,
        payload_bytes: PAYLOAD_BYTES,
        ..bench.plan(1)
    };
    let mut publishers = Publishers::connect(&healthy, &plan)?;
    let before = server.usage_at_rest()?.rss_bytes;
    let mut peak = before;
    for _ in 0..PARTS {
        drive(&mut healthy, &mut publishers, &plan).context("the client that reads")?;
        peak = peak.max(server.usage()?.rss_bytes);
    }
    server.usage_at_rest()?;
    Ok((
        float(peak - before) / MIB,
        float(slow.count_closed() as u64),
    ))
}
