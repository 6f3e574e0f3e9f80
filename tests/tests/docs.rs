//! The documentation says what the broker does: every metric and every code is in it, and nothing that is not there; and what it refers to exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use widecast_protocol::Code;
use widecast_protocol::value::types::EXTENSION_TYPES;
use widecast_tests::Broker;
use widecast_tests::surface::command_types;

fn read(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Every word of `docs/` that looks like the name of a metric.
fn metrics_in_docs() -> Result<BTreeSet<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics = words.filter(|word| word.starts_with("widecast_") && !word.ends_with('_'));
        names.extend(metrics.map(str::to_owned));
    }
    Ok(names)
}

#[tokio::test]
async fn the_metrics_and_their_documentation_are_the_same() -> Result<()> {
    let broker = Broker::start().await?;
    let text = broker
        .http()
        .get(format!("{}/metrics", broker.base()))
        .send()
        .await?;
    let text = text.text().await?;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exported: BTreeSet<String> = types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| {
            // As it stands in queries: the exporter's family of a counter lacks the suffix in one of the two formats.
            let counter = kind == "counter" && !name.ends_with("_total");
            if counter {
                format!("{name}_total")
            } else {
                name.to_owned()
            }
        })
        .collect();
    assert!(!exported.is_empty(), "no metrics: {text}");
    let documented = metrics_in_docs()?;
    let missing: Vec<_> = exported.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/: {missing:#?}");
    let stale: Vec<_> = documented.difference(&exported).collect();
    assert!(stale.is_empty(), "in docs/ but not exported: {stale:#?}");
    Ok(())
}

/// The rows of the table of codes: the cells after the name.
fn rows(text: &str) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut cells = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned());
        let Some(first) = cells.next().filter(|_| line.trim_start().starts_with('|')) else {
            continue;
        };
        let name = first
            .strip_prefix('`')
            .and_then(|rest| rest.strip_suffix('`'));
        let cells: Vec<_> = cells.collect();
        // Status and close code make it a row of this table and no other.
        let numbers = cells
            .iter()
            .filter(|cell| cell.parse::<u16>().is_ok_and(|n| n >= 400))
            .count();
        if let Some(name) = name.filter(|_| numbers == 2) {
            rows.push((name.to_owned(), cells));
        }
    }
    rows
}

#[test]
fn the_table_of_codes_in_the_protocol_is_the_one_in_the_code() -> Result<()> {
    let documented = rows(&read("docs/protocol.md")?);
    let expected = |code: &Code| {
        let retry = if code.retryable() { "yes" } else { "no" };
        let (status, close) = (code.http_status(), code.close_code());
        format!(
            "| `{code}` | {status} | {close} | {retry} | {} |",
            code.meaning()
        )
    };
    let table: Vec<_> = Code::ALL.iter().map(expected).collect();
    let names: Vec<_> = documented.iter().map(|(name, _)| name.as_str()).collect();
    let known: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names, known, "the table should be:\n{}", table.join("\n"));
    for (code, (_, cells)) in Code::ALL.iter().zip(&documented) {
        let says = |text: &str| cells.iter().any(|cell| cell == text);
        let status = says(&code.http_status().to_string());
        let close = says(&code.close_code().to_string());
        let retry = says(if code.retryable() { "yes" } else { "no" });
        assert!(
            status && close && retry,
            "the row should be: {}",
            expected(code)
        );
    }
    Ok(())
}

/// The types of what the broker sends: those of replies, `message`, and `cursor`, which stands among message objects.
fn sent_types() -> Result<BTreeSet<String>> {
    let source = read("protocol/src/reply.rs")?;
    let names = source.lines().filter_map(|line| {
        let (_, name) = line.split_once("{ .. } => \"")?;
        name.split('"').next().map(str::to_owned)
    });
    let mut names: BTreeSet<_> = names.collect();
    anyhow::ensure!(names.contains("welcome"), "the types are no longer there");
    names.extend(["message", "cursor"].map(str::to_owned));
    Ok(names)
}

#[test]
fn every_type_of_frame_is_documented_and_no_other() -> Result<()> {
    let types = &sent_types()? | &command_types()?.into_iter().collect();
    let described = read("docs/asyncapi.yaml")?;
    let described: BTreeSet<_> = described
        .lines()
        .filter_map(|line| {
            let (_, name) = line.trim().split_once("type: { const: ")?;
            name.strip_suffix(" }").map(str::to_owned)
        })
        .collect();
    assert_eq!(described, types, "docs/asyncapi.yaml on the left");
    let protocol = read("docs/protocol.md")?;
    for name in types {
        let named = protocol.contains(&format!("`{name}`"));
        assert!(named, "docs/protocol.md says nothing of {name}");
    }
    Ok(())
}

#[test]
fn the_table_of_extension_types_in_the_protocol_is_the_one_in_the_code() -> Result<()> {
    let protocol = read("docs/protocol.md")?;
    for known in EXTENSION_TYPES {
        let row = format!("| {} | `{}` | {} |", known.code, known.name, known.body);
        assert!(protocol.contains(&row), "the row should be: {row}");
    }
    Ok(())
}

/// The pages with links that people follow, and where each is.
fn pages() -> Result<Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = Vec::new();
    for directory in ["", "docs", "docs/decisions"] {
        for entry in fs::read_dir(root.join(directory))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path)?;
                pages.push((path, text));
            }
        }
    }
    Ok(pages)
}

/// The lines of a page that are not in a block of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The names by which links find the headings of a page, as GitHub makes them.
fn headings(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    let mut names = BTreeSet::new();
    for heading in headings {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then_some(c),
        });
        let name: String = kept.collect();
        // The second heading of the same words is told apart by a number.
        let again = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone())
            .chain(again)
            .find(|name| !names.contains(name));
        names.extend(free);
    }
    names
}

/// Where the links of a page go, apart from those to other sites.
fn links(page: &str) -> Vec<&str> {
    let links = prose(page).flat_map(|line| line.split("](").skip(1));
    links
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter(|target| !target.contains("://"))
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() -> Result<()> {
    let mut dead = Vec::new();
    let mut count = 0;
    for (path, page) in pages()? {
        let directory = path.parent().context("it is in a directory")?;
        for link in links(&page) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => directory.join(file),
            };
            count += 1;
            let leads = match heading {
                "" => target.exists(),
                heading => {
                    fs::read_to_string(&target).is_ok_and(|page| headings(&page).contains(heading))
                }
            };
            if !leads {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(count > 100, "links are no longer found: {count}");
    assert!(dead.is_empty(), "lead nowhere: {dead:#?}");
    Ok(())
}

#[test]
fn headings_are_named_as_links_name_them() {
    let page = "# A, b: `c_d`\n## What's new?\n```sh\n# no heading\n```\n## What's new?\n";
    let names: Vec<_> = headings(page).into_iter().collect();
    assert_eq!(names, ["a-b-c_d", "whats-new", "whats-new-1"]);
}

/// The words of code in the last cell of each row of the tables whose last column is headed `shown by`.
fn tests_that_show() -> Result<Vec<(String, Vec<String>)>> {
    let page = read("docs/scaling.md")?;
    let mut rows = Vec::new();
    let mut is_table = false;
    for line in prose(&page) {
        let cells: Vec<_> = line.trim().trim_matches('|').split('|').collect();
        let last = cells.last().map_or("", |cell| cell.trim());
        let is_row = line.starts_with('|') && !last.starts_with("---");
        if is_row && is_table {
            let names = last.split('`').skip(1).step_by(2).map(str::to_owned);
            rows.push((cells[0].trim().to_owned(), names.collect()));
        }
        is_table = line.starts_with('|') && (is_table || last == "shown by");
    }
    Ok(rows)
}

/// The Rust source below a directory, as one text.
fn source_below(directory: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            source_below(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Whether a test of this name is in the source: by an attribute, or in the list of a macro that makes tests of its functions.
fn is_test(source: &str, name: &str) -> bool {
    let named = source.match_indices(name).map(|(at, _)| at);
    let mut named = named.map(|at| (source[..at].trim_end(), &source[at + name.len()..]));
    named.any(|(before, after)| {
        let attribute = before.strip_suffix("fn").map(str::trim_end);
        let attribute = attribute.map(|it| it.strip_suffix("async").unwrap_or(it).trim_end());
        match attribute {
            Some(attribute) => attribute.ends_with("test]") && after.starts_with('('),
            None => before.ends_with(['(', ',']) && after.starts_with([',', ')']),
        }
    })
}

#[test]
fn every_failure_in_the_tables_of_losses_is_shown_by_tests_that_exist() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut source = String::new();
    source_below(&root.join("broker/src/engine"), &mut source)?;
    source_below(&root.join("tests/tests"), &mut source)?;
    let rows = tests_that_show()?;
    assert!(rows.len() > 40, "the tables are no longer found: {rows:?}");
    let mut wrong = Vec::new();
    for (failure, tests) in &rows {
        if tests.is_empty() {
            wrong.push(format!("{failure}: no test"));
        }
        let missing = tests.iter().filter(|name| !is_test(&source, name));
        wrong.extend(missing.map(|name| format!("{failure}: {name}")));
    }
    assert!(wrong.is_empty(), "no test shows: {wrong:#?}");
    Ok(())
}
