//! Runs one after the other, each from its own seed, and says what came of them.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::judge::judge;
use crate::plan::Plan;
use crate::report;
use crate::scope::Scope;
use crate::stage::perform;

/// Which logs are kept.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Where they go.
    pub directory: PathBuf,
    /// Whether also those of runs without a violation are kept.
    pub all: bool,
}

/// Carries out the runs of the seeds; gives how many of them had a violation.
///
/// # Errors
/// When a run could not be carried out, or its log not be written.
pub async fn campaign(
    seeds: impl IntoIterator<Item = u64>,
    scope: &Scope,
    logs: &Logs,
) -> Result<usize> {
    let mut bad = 0;
    for seed in seeds {
        bad += usize::from(!run(seed, scope, logs).await?);
    }
    Ok(bad)
}

/// Carries out one run; gives whether all promises were kept.
async fn run(seed: u64, scope: &Scope, logs: &Logs) -> Result<bool> {
    let plan = Plan::draw(seed, scope);
    let outcome = perform(&plan).await;
    let outcome = outcome.with_context(|| format!("the run of seed {seed}: {plan:#?}"))?;
    let violations = judge(&outcome.case);
    let fine = violations.is_empty();
    let out = &mut io::stdout();
    writeln!(
        out,
        "{}",
        report::summary(&plan, &outcome.case, &violations)
    )?;
    if fine && !logs.all {
        return Ok(true);
    }
    std::fs::create_dir_all(&logs.directory)?;
    let path = logs
        .directory
        .join(format!("{}-seed-{seed}.log", plan.broker.engine));
    let all = report::everything(&plan, &outcome.case, &violations, &outcome.broker_log);
    std::fs::write(&path, all).with_context(|| path.display().to_string())?;
    if !fine {
        writeln!(
            out,
            "{}\nrepeat it with --engine {} --seed {seed} --runs 1 --seconds {}; everything is in {}",
            report::violations(&outcome.case, &violations),
            plan.broker.engine,
            plan.time.as_secs_f64(),
            path.display()
        )?;
    }
    Ok(fine)
}
