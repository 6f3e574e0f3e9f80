//! `widecast nodes`: the brokers that share an engine, one a line.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use widecast_client::Node;

use super::arguments::NodesArguments;
use super::error::CliError;

/// Asks a broker for its nodes and prints them.
///
/// # Errors
/// When the broker cannot be reached or refuses, or the answer cannot be printed.
pub fn list_nodes(arguments: &NodesArguments, output: &mut dyn Write) -> Result<(), CliError> {
    let asked = arguments.broker.ask(async |client| client.nodes().await);
    let nodes = actix_rt::System::new().block_on(asked)?;
    let printed = if arguments.json {
        print_json(&nodes, output)
    } else {
        let rows = nodes.iter().map(|node| row(node, SystemTime::now()));
        let rows: Vec<_> = rows.collect();
        print_table(&rows, output)
    };
    printed.map_err(CliError::Output)
}

fn print_json(nodes: &[Node], output: &mut dyn Write) -> io::Result<()> {
    for node in nodes {
        serde_json::to_writer(&mut *output, node)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

const HEAD: [&str; 8] = [
    "NAME",
    "VERSION",
    "UP",
    "STATE",
    "LEASE",
    "SESSIONS",
    "SUBSCRIPTIONS",
    "ENGINES",
];

fn row(node: &Node, now: SystemTime) -> [String; HEAD.len()] {
    let started = UNIX_EPOCH + Duration::from_secs(node.started);
    let up = now.duration_since(started).unwrap_or_default();
    let state = match (node.draining, node.this) {
        (true, _) => "draining",
        (false, true) => "this one",
        (false, false) => "running",
    };
    let lease = node.lease_ms.map(|lease| format!("{} s", lease / 1000));
    let engines = node.engines.iter();
    let engines: Vec<_> = engines
        .map(|(name, kind)| format!("{name}={kind}"))
        .collect();
    [
        node.name.clone(),
        node.version.clone(),
        shown(up),
        state.to_owned(),
        lease.unwrap_or_else(|| "-".to_owned()),
        node.sessions.to_string(),
        node.subscriptions.to_string(),
        engines.join(" "),
    ]
}

/// A time in its largest unit.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn print_table(rows: &[[String; HEAD.len()]], output: &mut dyn Write) -> io::Result<()> {
    let head = HEAD.map(str::to_owned);
    let lines = || std::iter::once(&head).chain(rows);
    let width = |column: usize| lines().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..HEAD.len()).map(|it| width(it).unwrap_or(0)).collect();
    for line in lines() {
        let cells = line.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(output, "{}", cells.join("  ").trim_end())?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_aligned() {
        let node = |name: &str, more: &str| -> Node {
            let text = format!(
                r#"{{"id":"1","name":"{name}","version":"0.1.0","started":1000,"sessions":12,"subscriptions":3,
                "engines":{{"default":"redis"}},{more}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let nodes = [
            node("a", r#""this":true,"draining":false,"lease_ms":null"#),
            node("longer", r#""this":false,"draining":true,"lease_ms":11500"#),
        ];
        let now = UNIX_EPOCH + Duration::from_secs(1090);
        let rows: Vec<_> = nodes.iter().map(|it| row(it, now)).collect();
        let mut output = Vec::new();
        print_table(&rows, &mut output).unwrap();
        insta::assert_snapshot!(String::from_utf8(output).unwrap(), @r"
        NAME    VERSION  UP     STATE     LEASE  SESSIONS  SUBSCRIPTIONS  ENGINES
        a       0.1.0    1 min  this one  -      12        3              default=redis
        longer  0.1.0    1 min  draining  11 s   12        3              default=redis
        ");
    }

    #[test]
    fn times_are_shown_in_their_largest_unit() {
        for (seconds, expected) in [(59, "59 s"), (60, "1 min"), (7200, "2 h"), (172_800, "2 d")] {
            assert_eq!(shown(Duration::from_secs(seconds)), expected);
        }
    }
}
