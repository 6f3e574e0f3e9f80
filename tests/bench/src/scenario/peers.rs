//! Another broker under the same load, for those who wonder what a figure means.

use anyhow::{Context, Result};

use super::bench::{Bench, Contender};
use super::{fan_out, latency, memory, publish};
use crate::report::Row;

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let peer = Bench {
        contender: Contender::Nchan,
        ..bench.clone()
    };
    let mut rows = Vec::new();
    for (name, bench) in [("nginx + nchan", &peer), ("widecast", bench)] {
        for run in [fan_out::run, publish::run, latency::run, memory::run] {
            let measured = run(bench).context(name)?;
            rows.extend(measured.into_iter().map(|row| Row {
                scenario: format!("{name}: {}", row.scenario),
                target: None,
                ..row
            }));
        }
    }
    Ok(rows)
}
