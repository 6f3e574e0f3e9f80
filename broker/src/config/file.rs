//! The TOML file: every key with its value and line, before anything is known about their meaning.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeArray, DeTable, DeValue};

use super::error::ConfigError;
use super::load::Assignment;
use super::source::SettingSource;
use super::value::Given;

/// Reads a file.
///
/// # Errors
/// When it cannot be read, or is not TOML.
pub(super) fn read(path: &Path) -> Result<Vec<Assignment>, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Assignment>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| syntax_error(path, text, &error))?;
    let mut reader = TableReader {
        path,
        text,
        found: Vec::new(),
    };
    reader.walk(&mut Vec::new(), table.get_ref());
    Ok(reader.found)
}

struct TableReader<'a> {
    path: &'a Path,
    text: &'a str,
    found: Vec<Assignment>,
}

impl TableReader<'_> {
    fn walk(&mut self, path: &mut Vec<String>, table: &DeTable<'_>) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let at = self.place(key.span().start);
            match value.get_ref() {
                // A table is a section only where sections are: `[server]`, `[namespace.NAME]`.
                DeValue::Table(inner) if path.len() < 3 => {
                    if inner.is_empty() {
                        self.found.push(Assignment::section(path.clone(), at));
                    }
                    self.walk(path, inner);
                }
                DeValue::Array(items) if path.len() == 2 && are_tables(items) => {
                    self.walk_each(path, items);
                }
                other => {
                    let given = self.given(other, value.span());
                    self.found.push(Assignment::new(path.clone(), given, at));
                }
            }
            path.pop();
        }
    }

    fn place(&self, byte: usize) -> SettingSource {
        SettingSource::File {
            path: self.path.to_owned(),
            line: TextPlace::of(self.text, byte).line,
        }
    }

    /// `[[section.name]]`: each table is a section of its own, named by its number.
    fn walk_each(&mut self, path: &mut Vec<String>, tables: &DeArray<'_>) {
        for (number, table) in tables.iter().enumerate() {
            if let DeValue::Table(inner) = table.get_ref() {
                path.push(number.to_string());
                if inner.is_empty() {
                    let at = self.place(table.span().start);
                    self.found.push(Assignment::section(path.clone(), at));
                }
                self.walk(path, inner);
                path.pop();
            }
        }
    }

    fn given(&self, value: &DeValue<'_>, span: Range<usize>) -> Given {
        let as_written = || Given::Other(self.text.get(span).unwrap_or_default().to_owned());
        match value {
            DeValue::String(string) => Given::Text(string.to_string()),
            DeValue::Boolean(truth) => Given::Boolean(*truth),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| as_written(), Given::Integer),
            DeValue::Array(items) => {
                let items = items.iter();
                Given::List(
                    items
                        .map(|item| self.given(item.get_ref(), item.span()))
                        .collect(),
                )
            }
            DeValue::Table(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let given = self.given(value.get_ref(), value.span());
                    (key.get_ref().to_string(), given)
                });
                Given::Table(entries.collect())
            }
            DeValue::Float(_) | DeValue::Datetime(_) => as_written(),
        }
    }
}

/// Whether these are tables, of which there is at least one.
fn are_tables(items: &DeArray<'_>) -> bool {
    let mut items = items.iter();
    items.len() > 0 && items.all(|item| matches!(item.get_ref(), DeValue::Table(_)))
}

/// A place in a text, both from 1.
struct TextPlace {
    line: usize,
    column: usize,
}

impl TextPlace {
    fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let place = TextPlace::of(text, error.span().map_or(0, |span| span.start));
    ConfigError::Syntax {
        path: PathBuf::from(path),
        line: place.line,
        column: place.column,
        message: error.message().replace('\n', ", "),
    }
}
