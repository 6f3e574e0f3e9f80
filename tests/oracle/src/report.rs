//! What is said of a run: one line, and of a violation what the subscriber was told around it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::diary::{Page, Seen};
use crate::judge::{Case, Violation};
use crate::log::{Entry, Told};
use crate::plan::Plan;

/// How many entries are shown before and behind a violation.
const AROUND: usize = 12;

/// How many violations are shown with what is around them.
const SHOWN: usize = 6;

/// The run in one line.
pub fn summary(plan: &Plan, case: &Case, violations: &[Violation]) -> String {
    let entries = case.testimonies.iter().flat_map(|it| &it.entries);
    let (mut heard, mut gaps, mut drops, mut ended) = (0, 0, 0, 0);
    for Entry { told, .. } in entries {
        match told {
            Told::Heard(_) => heard += 1,
            Told::Gap {
                on_resume: true, ..
            } => gaps += 1,
            Told::Gap { .. } => drops += 1,
            Told::Ended(_) => ended += 1,
            _ => {}
        }
    }
    let pages = case.room.watches.iter().flat_map(|watch| &watch.pages);
    let came_or_went = |page: &&Page| matches!(page.seen, Seen::Joined { .. } | Seen::Left(_));
    let seen = pages.filter(came_or_went).count();
    let acked = case.records.iter();
    let acked = acked.filter(|record| !record.outcome.acks.is_empty());
    format!(
        "seed {}: {} published, {} acknowledged, {heard} heard, {gaps} gaps on resuming and {drops} in streams, {ended} cuts, {seen} members came or went, messages lost {} times: {}",
        plan.seed,
        case.records.len(),
        acked.count(),
        case.losses,
        verdict(violations),
    )
}

fn verdict(violations: &[Violation]) -> String {
    let mut kinds = BTreeMap::new();
    for violation in violations {
        *kinds.entry(violation.kind).or_insert(0) += 1;
    }
    let kinds: Vec<_> = kinds.iter().map(|(k, n)| format!("{n} {k:?}")).collect();
    if kinds.is_empty() {
        "no violation".to_owned()
    } else {
        format!("VIOLATIONS: {}", kinds.join(", "))
    }
}

/// The first violations, each with what the subscriber was told around it.
pub fn violations(case: &Case, violations: &[Violation]) -> String {
    let mut text = String::new();
    let mut last = None;
    for violation in violations.iter().take(SHOWN) {
        let _ = writeln!(text, "{violation}");
        let Some((number, at)) = violation.shown_by else {
            continue;
        };
        if last.replace((number, at)) == violation.shown_by {
            continue;
        }
        let testimony = &case.testimonies[number];
        let first = at.saturating_sub(AROUND);
        let around = testimony.entries.iter().enumerate();
        for (index, entry) in around.skip(first).take(2 * AROUND + 1) {
            let mark = if index == at { ">" } else { " " };
            let _ = writeln!(text, "  {mark} {entry}");
        }
    }
    let more = violations.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(text, "… and {more} more");
    }
    text
}

/// Everything: the plan, the violations, and all testimonies.
pub fn everything(plan: &Plan, case: &Case, violations: &[Violation], broker_log: &str) -> String {
    let mut text = format!("{}\n\n{plan:#?}\n\n", summary(plan, case, violations));
    for violation in violations {
        let _ = writeln!(text, "{violation}");
    }
    for testimony in &case.testimonies {
        let _ = writeln!(
            text,
            "\n--- {} hears {:?} (sender {:?}, echo {})",
            testimony.name, testimony.channels, testimony.sender, testimony.echo
        );
        for entry in &testimony.entries {
            let _ = writeln!(text, "{entry}");
        }
    }
    for watch in &case.room.watches {
        let _ = writeln!(text, "\n--- {} of {}", watch.name, watch.member);
        for page in &watch.pages {
            let _ = writeln!(text, "{page}");
        }
    }
    let mut records: Vec<_> = case.records.iter().collect();
    records.sort_by(|a, b| (&a.channel, &a.id).cmp(&(&b.channel, &b.id)));
    text.push_str("\n--- published\n");
    for record in records {
        let _ = writeln!(
            text,
            "{} on {} by {:?}: {} bytes, {:?}",
            record.id, record.channel, record.sender, record.bytes, record.outcome
        );
    }
    let _ = write!(text, "\n--- the brokers' logs\n{broker_log}");
    text
}
