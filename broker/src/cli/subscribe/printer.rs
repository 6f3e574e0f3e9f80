//! Prints messages to one writer and notices to another, each as soon as it comes.

use std::io::{self, Write};

use widecast_protocol::ChannelName;

use super::message::HeardMessage;
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

impl Printer<'_> {
    /// Prints a message as one line, or more if it is a string of several; whoever reads gets it at once. The channel is
    /// given where the message does not tell it.
    pub(super) fn message(
        &mut self,
        message: &HeardMessage,
        channel: Option<&ChannelName>,
    ) -> Result<(), CliError> {
        let line = match self.form {
            Output::Json => json(message, channel).map_err(CliError::Output)?,
            Output::Data => data(message, channel, self.naming),
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

fn json(message: &HeardMessage, channel: Option<&ChannelName>) -> io::Result<String> {
    let told = channel.map(|name| name.as_str().to_owned());
    let told = HeardMessage {
        channel: message.channel.clone().or(told),
        ..message.clone()
    };
    Ok(serde_json::to_string(&told)?)
}

fn data(message: &HeardMessage, channel: Option<&ChannelName>, naming: Naming) -> String {
    let data = message.data.get();
    let text = serde_json::from_str(data).unwrap_or_else(|_| data.to_owned());
    if naming == Naming::Nameless {
        return text;
    }
    let told = message.channel.as_deref();
    let channel = told.or(channel.map(ChannelName::as_str)).unwrap_or("?");
    let lines = text.split('\n').map(|line| format!("{channel}\t{line}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(form: Output, naming: Naming, message: &str) -> String {
        let mut output = Vec::new();
        let mut printer = Printer {
            form,
            naming,
            output: &mut output,
            notices: &mut io::sink(),
        };
        let message = serde_json::from_str(message).unwrap();
        let channel = ChannelName::parse("known").unwrap();
        printer.message(&message, Some(&channel)).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_string_is_printed_as_itself_and_anything_else_as_json() {
        let data = |message| printed(Output::Data, Naming::Nameless, message);
        assert_eq!(data(r#"{"data":"a\nb"}"#), "a\nb\n");
        assert_eq!(data(r#"{"data":1.50}"#), "1.50\n");
        assert_eq!(data(r#"{"data":null}"#), "null\n");
    }

    #[test]
    fn of_several_channels_each_line_begins_with_its_own() {
        let data = |message| printed(Output::Data, Naming::Named, message);
        let told = data(r#"{"channel":"told","data":"a\nb"}"#);
        assert_eq!(told, "told\ta\ntold\tb\n");
        assert_eq!(data(r#"{"data":1}"#), "known\t1\n");
    }

    #[test]
    fn json_output_has_what_the_transport_told_and_the_channel() {
        let line = printed(
            Output::Json,
            Naming::Named,
            r#"{"type":"message","channel":"a","offset":1,"epoch":"e","data":{"b":10000000000000000000001}}"#,
        );
        let expected =
            r#"{"channel":"a","offset":1,"epoch":"e","data":{"b":10000000000000000000001}}"#;
        assert_eq!(line.trim_end(), expected);
        let line = printed(Output::Json, Naming::Nameless, r#"{"data":1}"#);
        assert_eq!(line.trim_end(), r#"{"channel":"known","data":1}"#);
    }
}
