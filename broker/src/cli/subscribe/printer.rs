//! Prints messages to one writer and notices to another, each as soon as it comes.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use widecast_client::Message;
use widecast_protocol::ChannelName;

use crate::cli::arguments::Output;
use crate::cli::error::CliError;

/// Whether a line begins with the channel that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// There is only one.
    Nameless,
    /// It does, before a tab: the name of a channel has none.
    Named,
}

impl Naming {
    /// Lines are named where channels have to be told apart.
    pub(super) fn of(channels: &[ChannelName]) -> Self {
        match channels {
            [_] => Self::Nameless,
            _ => Self::Named,
        }
    }
}

/// Where messages and notices go.
pub(super) struct Printer<'a> {
    /// What is printed of each message.
    pub(super) form: Output,
    /// Whether lines of data are named.
    pub(super) naming: Naming,
    /// Takes messages.
    pub(super) output: &'a mut dyn Write,
    /// Takes notices.
    pub(super) notices: &'a mut dyn Write,
}

/// What `--output json` prints of a message.
#[derive(Debug, Serialize)]
struct Line<'a> {
    channel: &'a str,
    /// The place behind the message, in all channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    offset: u64,
    epoch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    origin: &'a str,
    timestamp: u64,
    data: &'a RawValue,
}

impl Printer<'_> {
    /// Prints a message as one line, or more if it is a string of several; whoever reads gets it at once.
    pub(super) fn message(
        &mut self,
        message: &Message,
        cursor: impl FnOnce() -> Option<String>,
    ) -> Result<(), CliError> {
        let line = match self.form {
            Output::Json => json(message, cursor()).map_err(CliError::Output)?,
            Output::Data => data(message.json(), &message.channel, self.naming),
        };
        let written = self.output.write_all(line.as_bytes());
        let written = written.and_then(|()| self.output.write_all(b"\n"));
        let written = written.and_then(|()| self.output.flush());
        written.map_err(CliError::Output)
    }

    /// Tells people something that is no message. That nobody listens is no reason to end.
    pub(super) fn notice(&mut self, text: &str) {
        let _ = writeln!(self.notices, "widecast: {text}");
    }
}

fn json(message: &Message, cursor: Option<String>) -> io::Result<String> {
    let line = Line {
        channel: &message.channel,
        cursor,
        offset: message.offset,
        epoch: &message.epoch,
        event: message.event.as_deref(),
        message_id: message.message_id.as_deref(),
        origin: &message.origin,
        timestamp: message.timestamp,
        data: message.json(),
    };
    Ok(serde_json::to_string(&line)?)
}

fn data(data: &RawValue, channel: &str, naming: Naming) -> String {
    let data = data.get();
    let text = serde_json::from_str(data).unwrap_or_else(|_| data.to_owned());
    if naming == Naming::Nameless {
        return text;
    }
    let lines = text.split('\n').map(|line| format!("{channel}\t{line}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(naming: Naming, json: &str) -> String {
        data(serde_json::from_str(json).unwrap(), "known", naming)
    }

    #[test]
    fn a_string_is_printed_as_itself_and_anything_else_as_json() {
        assert_eq!(printed(Naming::Nameless, r#""a\nb""#), "a\nb");
        assert_eq!(printed(Naming::Nameless, "1.50"), "1.50");
        assert_eq!(printed(Naming::Nameless, "null"), "null");
    }

    #[test]
    fn of_several_channels_each_line_begins_with_its_own() {
        assert_eq!(printed(Naming::Named, r#""a\nb""#), "known\ta\nknown\tb");
        assert_eq!(printed(Naming::Named, "1"), "known\t1");
    }
}
