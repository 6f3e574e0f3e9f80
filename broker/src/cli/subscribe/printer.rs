//! Prints messages to one writer and notices to another, each as soon as it comes.

use std::io::{self, Write};

use super::message::HeardMessage;
use crate::cli::arguments::Output;
use crate::cli::error::CliError;

/// Where messages and notices go.
pub(super) struct Printer<'a> {
    /// What is printed of each message.
    pub(super) form: Output,
    /// Takes messages.
    pub(super) output: &'a mut dyn Write,
    /// Takes notices.
    pub(super) notices: &'a mut dyn Write,
}

impl Printer<'_> {
    /// Prints a message as one line, or more if it is a string of several; whoever reads gets it at once.
    pub(super) fn message(&mut self, message: &HeardMessage) -> Result<(), CliError> {
        let line = line(self.form, message).map_err(CliError::Output)?;
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

fn line(form: Output, message: &HeardMessage) -> io::Result<String> {
    Ok(match form {
        Output::Json => serde_json::to_string(message)?,
        Output::Data => {
            let data = message.data.get();
            match serde_json::from_str::<String>(data) {
                Ok(text) => text,
                Err(_) => data.to_owned(),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(form: Output, message: &str) -> String {
        line(form, &serde_json::from_str(message).unwrap()).unwrap()
    }

    #[test]
    fn a_string_is_printed_as_itself_and_anything_else_as_json() {
        assert_eq!(printed(Output::Data, r#"{"data":"a\nb"}"#), "a\nb");
        assert_eq!(printed(Output::Data, r#"{"data":1.50}"#), "1.50");
        assert_eq!(printed(Output::Data, r#"{"data":null}"#), "null");
    }

    #[test]
    fn json_output_has_what_the_transport_told_and_no_more() {
        let line = printed(
            Output::Json,
            r#"{"type":"message","channel":"a","offset":1,"epoch":"e","data":{"b":10000000000000000000001}}"#,
        );
        assert_eq!(
            line,
            r#"{"channel":"a","offset":1,"epoch":"e","data":{"b":10000000000000000000001}}"#
        );
    }
}
