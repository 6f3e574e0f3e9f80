//! `docs/metrics.md` is made from the metrics, so that it lists all of them and says of each what the broker says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use super::{Exposition, Metrics, render};
use crate::memory_budget::Part;

/// Labels whose values depend on the settings or the version, or stand on a page of their own.
const OPEN_LABELS: [&str; 5] = ["code", "engine", "le", "server", "version"];

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

/// Every metric that was registered, and of each every sample that there may be of a broker with the default settings.
fn all_samples() -> (Metrics, String) {
    let metrics = Metrics::new();
    metrics.engines.show_samples();
    for part in Part::ALL {
        metrics.memory.set_part(part.name(), 0);
    }
    let text = render(&metrics, Exposition::Prometheus).unwrap();
    (metrics, text)
}

fn table(text: &str) -> String {
    let mut table = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for row in rows(text) {
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

/// Which values a label has in which metrics.
fn table_of_values(text: &str) -> String {
    let mut values: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let labels = rest.split_once('}').unwrap().0.split(',');
        for (label, value) in labels.filter_map(|label| label.split_once('=')) {
            if !OPEN_LABELS.contains(&label) {
                let value = value.trim_matches('"');
                values.entry((label, name)).or_default().insert(value);
            }
        }
    }
    let mut metrics: BTreeMap<(&str, BTreeSet<&str>), Vec<&str>> = BTreeMap::new();
    for ((label, name), values) in values {
        metrics.entry((label, values)).or_default().push(name);
    }
    let mut table = "| label | of | values |\n| --- | --- | --- |\n".to_owned();
    for ((label, values), names) in metrics {
        let quoted = |word: &&str| format!("`{word}`");
        let names: Vec<_> = names.iter().map(quoted).collect();
        let values: Vec<_> = values.iter().map(quoted).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        writeln!(table, "| `{label}` | {names} | {values} |").unwrap();
    }
    table
}

/// The registry tells the names of its metrics by its `Debug` alone, and leaves out of what it shows those without samples.
#[test]
fn every_metric_that_is_registered_has_a_sample() {
    let (metrics, text) = all_samples();
    let mut shown = BTreeSet::new();
    for row in rows(&text) {
        let name = row.name.strip_prefix("widecast_").unwrap();
        let name = name.strip_suffix("_total").unwrap_or(name);
        let name = name.strip_suffix("_info").unwrap_or(name);
        shown.insert(name.to_owned());
        for unit in ["_bytes", "_seconds"] {
            shown.extend(name.strip_suffix(unit).map(str::to_owned));
        }
    }
    let registry = format!("{:?}", metrics.registry());
    let names = registry.split("Descriptor { name: \"").skip(1);
    let names: Vec<_> = names.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.contains(&"connections"), "{names:?}");
    let missing: Vec<_> = names
        .iter()
        .filter(|&&name| !shown.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "no sample of {missing:?}: show one in `all_samples`, or the reference does not have it"
    );
}

/// `UPDATE_DOCS=1` writes the reference instead of comparing it.
#[test]
fn the_metrics_reference_lists_exactly_these_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, listed) = page.split_once("`. -->\n").unwrap();
    let (_, text) = all_samples();
    let (table, values) = (table(&text), table_of_values(&text));
    let expected = format!("{table}\n## Values of labels\n\n{values}");
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
