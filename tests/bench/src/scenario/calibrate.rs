//! Floor against floor: the ratio has to be 1, and what it is instead is the error of everything else here.

use anyhow::Result;

use super::bench::{Bench, Contender};
use super::{channels, fan_out, polling, publish};
use crate::report::Row;

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let bench = Bench {
        contender: Contender::Floor,
        ..bench.clone()
    };
    let mut rows = Vec::new();
    for run in [fan_out::run, publish::run, channels::run, polling::run] {
        rows.extend(run(&bench)?);
    }
    for row in &mut rows {
        row.target = None;
    }
    Ok(rows)
}
