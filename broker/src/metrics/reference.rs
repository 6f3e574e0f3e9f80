//! `docs/metrics.md` is made from the metrics, so that it lists all of them and says of each what the broker says.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use super::{Exposition, Metrics, render};

/// One line of the table: what the older text form says of a metric, whose names are those of queries.
struct Row<'a> {
    name: &'a str,
    kind: &'a str,
    labels: String,
    help: &'a str,
}

/// The names of the labels of a metric's first sample.
fn labels(text: &str, name: &str) -> String {
    let sample = text
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter_map(|rest| rest.split_once('{'))
        .filter(|(suffix, _)| ["", "_bucket"].contains(suffix))
        .find_map(|(_, labels)| labels.rsplit_once('}'));
    let labels = sample.map_or("", |(labels, _)| labels).split(',');
    let names = labels.filter_map(|label| label.split_once('='));
    let names = names.map(|(name, _)| name).filter(|&name| name != "le");
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn rows(text: &str) -> Vec<Row<'_>> {
    let description = |line: &'static str| {
        let lines = text
            .lines()
            .filter_map(move |found| found.strip_prefix(line));
        lines.filter_map(|found| found.split_once(' '))
    };
    let kinds: std::collections::HashMap<_, _> = description("# TYPE ").collect();
    description("# HELP ")
        .map(|(name, help)| Row {
            name,
            kind: kinds[name],
            labels: labels(text, name),
            help: help.trim_end_matches('.'),
        })
        .collect()
}

fn table() -> String {
    let metrics = Metrics::new();
    metrics.engines.show_samples();
    let text = render(&metrics, Exposition::Prometheus).unwrap();
    let mut table = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for row in rows(&text) {
        let Row {
            name,
            kind,
            labels,
            help,
        } = row;
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

/// `UPDATE_DOCS=1` writes the reference instead of comparing it.
#[test]
fn the_metrics_reference_lists_exactly_these_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, listed) = text.split_once("`. -->\n").unwrap();
    let expected = table();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}`. -->\n\n{expected}")).unwrap();
        return;
    }
    let cure = "UPDATE_DOCS=1 cargo test -p widecast metrics_reference";
    assert_eq!(
        listed.trim(),
        expected.trim(),
        "docs/metrics.md is not up to date: {cure}"
    );
}
