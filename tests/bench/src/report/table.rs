//! All rows, aligned or as JSON.

use serde_json::{Value, json};

use super::row::{Row, Target, Verdict};
use crate::machine::Machine;

const TITLES: [&str; 9] = [
    "scenario", "wire", "measure", "broker", "floor", "ratio", "broker/s", "floor/s", "target",
];

/// The first columns are words, the others figures.
const WORD_COLUMNS: usize = 3;

/// The rows as an aligned Markdown table.
pub fn table(rows: &[Row]) -> String {
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let mut widths = [0; TITLES.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        push_line(&mut text, line, &widths);
        if index == 0 {
            push_rule(&mut text, &widths);
        }
    }
    text
}

/// The rows and what they were measured on.
pub fn json(machine: &Machine, settings: &Value, rows: &[Row]) -> Value {
    let rows: Vec<_> = rows.iter().map(row_json).collect();
    json!({ "machine": machine.json(), "settings": settings, "rows": rows })
}

fn cells(row: &Row) -> [String; TITLES.len()] {
    [
        row.scenario.clone(),
        row.wire.to_owned(),
        row.measure.to_owned(),
        figure(row.broker_median()),
        row.floor_median().map(figure).unwrap_or_default(),
        row.ratio()
            .map(|ratio| format!("{ratio:.2}"))
            .unwrap_or_default(),
        rate(row.per_second[0]),
        rate(row.per_second[1]),
        target(row),
    ]
}

/// Three digits that count, no more than were measured.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn rate(per_second: f64) -> String {
    if per_second == 0.0 {
        String::new()
    } else {
        format!("{per_second:.0}")
    }
}

fn target(row: &Row) -> String {
    let wanted = match row.target {
        None => return String::new(),
        Some(Target::TimesFloor(limit)) => format!("≤ {limit:.2} × floor"),
        Some(Target::MoreThanFloor(limit)) => format!("≤ floor + {limit}"),
        Some(Target::AtMost(limit)) => format!("≤ {limit}"),
        Some(Target::AtLeast(limit)) => format!("≥ {limit}"),
    };
    match row.verdict() {
        Verdict::Missed => format!("{wanted} MISSED"),
        Verdict::Met | Verdict::None => format!("{wanted} ok"),
    }
}

fn push_line(text: &mut String, cells: &[String; TITLES.len()], widths: &[usize; TITLES.len()]) {
    text.push('|');
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        // `{:<width$}` counts characters too, which is what `widths` does.
        let padded = if column < WORD_COLUMNS || column == TITLES.len() - 1 {
            format!(" {cell:<width$} |")
        } else {
            format!(" {cell:>width$} |")
        };
        text.push_str(&padded);
    }
    text.push('\n');
}

fn push_rule(text: &mut String, widths: &[usize; TITLES.len()]) {
    text.push('|');
    for (column, width) in widths.iter().enumerate() {
        let right = column >= WORD_COLUMNS && column < TITLES.len() - 1;
        let end = if right { ':' } else { '-' };
        text.push(' ');
        text.push_str(&"-".repeat(width - 1));
        text.push(end);
        text.push_str(" |");
    }
    text.push('\n');
}

fn row_json(row: &Row) -> Value {
    json!({
        "scenario": row.scenario,
        "wire": row.wire,
        "measure": row.measure,
        "broker": row.broker_median(),
        "broker_rounds": row.broker,
        "floor": row.floor_median(),
        "floor_rounds": row.floor,
        "ratio": row.ratio(),
        "broker_per_second": row.per_second[0],
        "floor_per_second": row.per_second[1],
        "target": row.target.map(|_| target(row)),
        "met": match row.verdict() {
            Verdict::None => Value::Null,
            Verdict::Met => true.into(),
            Verdict::Missed => false.into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_alphabet() {
        let mut row =
            Row::new("fan-out", "SSE", "µs CPU/delivery").with_target(Target::TimesFloor(1.1));
        row.broker = vec![3.5];
        row.floor = vec![3.46];
        row.per_second = [250_000.0, 0.0];
        let text = table(&[
            row.clone(),
            Row {
                broker: vec![12345.6],
                ..row
            },
        ]);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        assert!(text.contains("≤ 1.10 × floor MISSED"), "{text}");
        assert!(text.contains("12346"), "{text}");
    }
}
