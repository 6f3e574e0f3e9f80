//! A value as it was given, and how each type of setting reads it and shows itself.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::byte_count::ByteCount;
use super::hidden_secrets::without_secrets;

/// A value as the file, an environment variable or a flag gave it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML string.
    Text(String),
    /// A TOML array.
    List(Vec<Given>),
    /// A TOML table that is a value: `{ key = value }`.
    Table(Vec<(String, Given)>),
    /// What a variable or flag holds: it has no type of its own.
    Word(String),
    /// Something in the file that no setting takes, as it stands there.
    Other(String),
}

/// As an error repeats it: without secrets.
impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(truth) => truth.fmt(f),
            Self::Text(text) => f.write_str(&quoted(&without_secrets(text))),
            Self::Word(text) | Self::Other(text) => f.write_str(&without_secrets(text)),
            Self::List(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Self::Table(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{} = {value}", quoted(key)))
                    .collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// A text as a TOML basic string: a JSON string is one.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a setting would have taken instead of the value given: completes "expected …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected(pub(super) String);

/// The bounds of a number.
pub(super) type Bounds = Option<RangeInclusive<u64>>;

/// A value that can be set from a file, a variable or a flag, and shown as TOML.
pub(super) trait Setting {
    /// Takes a value over, if it is of the right type and within the bounds.
    fn assign(&mut self, given: &Given, within: &Bounds) -> Result<(), Expected>;
    /// The value as it would stand in the file.
    fn shown(&self) -> String;
}

/// A type written as a word or a quoted string.
pub(super) trait Word: Sized {
    /// Completes "expected …".
    const EXPECTED: &'static str;
    /// Reads the word.
    fn read(text: &str) -> Option<Self>;
    /// Writes the word, without quotes.
    fn text(&self) -> String;
}

impl<T: Word> Setting for T {
    fn assign(&mut self, given: &Given, _: &Bounds) -> Result<(), Expected> {
        let read = match given {
            Given::Text(text) | Given::Word(text) => T::read(text),
            _ => None,
        };
        *self = read.ok_or_else(|| Expected(T::EXPECTED.to_owned()))?;
        Ok(())
    }

    fn shown(&self) -> String {
        quoted(&self.text())
    }
}

impl<T: Word> Setting for Vec<T> {
    /// Variables and flags separate the items with commas; nothing is the empty list.
    fn assign(&mut self, given: &Given, _: &Bounds) -> Result<(), Expected> {
        let read: Option<Vec<T>> = match given {
            Given::Word(words) if words.trim().is_empty() => Some(Vec::new()),
            Given::Word(words) => words.split(',').map(|word| T::read(word.trim())).collect(),
            Given::Text(text) => T::read(text).map(|item| vec![item]),
            Given::List(items) => items
                .iter()
                .map(|item| match item {
                    Given::Text(text) => T::read(text),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        *self = read.ok_or_else(|| Expected(format!("a list, each item {}", T::EXPECTED)))?;
        Ok(())
    }

    fn shown(&self) -> String {
        let items: Vec<String> = self.iter().map(|item| quoted(&item.text())).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Word for SocketAddr {
    const EXPECTED: &'static str =
        "an IP address with a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080";

    /// Without an address it is loopback, and not every address of the machine as with other servers: only an address
    /// that is written out can open the broker to other machines.
    fn read(text: &str) -> Option<Self> {
        let on_loopback = |port: u16| Self::from((Ipv4Addr::LOCALHOST, port));
        match text.rsplit_once(':') {
            Some(("localhost" | "", port)) => port.parse().ok().map(on_loopback),
            _ => text.parse().ok(),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Reads a whole number within bounds.
pub(super) fn integer(given: &Given, within: &Bounds) -> Result<u64, Expected> {
    let within = within.clone().unwrap_or(0..=u64::from(u32::MAX));
    let number = match given {
        Given::Integer(number) => u64::try_from(*number).ok(),
        Given::Word(word) => word.replace('_', "").parse().ok(),
        _ => None,
    };
    number
        .filter(|number| within.contains(number))
        .ok_or_else(|| {
            Expected(format!(
                "a whole number from {} to {}",
                within.start(),
                within.end()
            ))
        })
}

impl Setting for u32 {
    fn assign(&mut self, given: &Given, within: &Bounds) -> Result<(), Expected> {
        let number = integer(given, within)?;
        *self = Self::try_from(number).map_err(|_| Expected("a smaller number".to_owned()))?;
        Ok(())
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn assign(&mut self, given: &Given, within: &Bounds) -> Result<(), Expected> {
        let number = integer(given, within)?;
        *self = Self::try_from(number).map_err(|_| Expected("a smaller number".to_owned()))?;
        Ok(())
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Setting for ByteCount {
    fn assign(&mut self, given: &Given, within: &Bounds) -> Result<(), Expected> {
        *self = Self::new(integer(given, within)?);
        Ok(())
    }

    fn shown(&self) -> String {
        self.get().to_string()
    }
}

/// Durations are given in milliseconds, and their keys say so.
impl Setting for Duration {
    fn assign(&mut self, given: &Given, within: &Bounds) -> Result<(), Expected> {
        *self = Self::from_millis(integer(given, within)?);
        Ok(())
    }

    fn shown(&self) -> String {
        self.as_millis().to_string()
    }
}

impl Setting for bool {
    fn assign(&mut self, given: &Given, _: &Bounds) -> Result<(), Expected> {
        *self = match given {
            Given::Boolean(truth) => *truth,
            Given::Word(word) if word == "true" => true,
            Given::Word(word) if word == "false" => false,
            _ => return Err(Expected("true or false".to_owned())),
        };
        Ok(())
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}
