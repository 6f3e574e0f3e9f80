//! Runs one after the other, each from its own seed, and says what came of them.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::judge::judge;
use crate::plan::{Plan, Scope};
use crate::report;
use crate::stage::perform;

/// Carries out the runs of the seeds; gives how many of them had a violation.
///
/// # Errors
/// When a run could not be carried out, or its log not be written.
pub async fn campaign(
    seeds: impl IntoIterator<Item = u64>,
    scope: &Scope,
    logs: &Path,
) -> Result<usize> {
    let mut bad = 0;
    for seed in seeds {
        bad += usize::from(!run(seed, scope, logs).await?);
    }
    Ok(bad)
}

/// Carries out one run; gives whether all promises were kept.
async fn run(seed: u64, scope: &Scope, logs: &Path) -> Result<bool> {
    let plan = Plan::draw(seed, scope);
    let outcome = perform(&plan).await;
    let outcome = outcome.with_context(|| format!("the run of seed {seed}: {plan:#?}"))?;
    let violations = judge(&outcome.case);
    let out = &mut io::stdout();
    let summary = report::summary(&plan, &outcome.case, &violations);
    writeln!(out, "{summary}")?;
    if violations.is_empty() {
        return Ok(true);
    }
    std::fs::create_dir_all(logs)?;
    let path = logs.join(format!("seed-{seed}.log"));
    let all = report::everything(&plan, &outcome.case, &violations, &outcome.broker_log);
    std::fs::write(&path, all).with_context(|| path.display().to_string())?;
    writeln!(
        out,
        "{}\nrepeat it with --seed {seed} --runs 1 --seconds {}; everything is in {}",
        report::violations(&outcome.case, &violations),
        plan.time.as_secs_f64(),
        path.display()
    )?;
    Ok(false)
}
