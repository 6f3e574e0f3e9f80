//! Listens to an event stream, as an `EventSource` would
//! ([HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::end::{End, Listened};
use super::http::{CONNECT_TIMEOUT, Request, next_of_stream};
use super::lines::{LineEnd, Lines};
use super::message::HeardMessage;
use super::reader::Reader;
use crate::cli::error::CliError;

/// The event that tells of lost messages.
const GAP_EVENT: &str = "widecast.gap";

/// Listens until the connection ends.
pub(super) async fn listen(reader: &mut Reader<'_>) -> Listened {
    let request = Request {
        transport: "sse",
        accept: "text/event-stream",
        patience: CONNECT_TIMEOUT,
    };
    let mut body = match request.send(reader).await? {
        Ok(body) => body,
        Err(end) => return Ok(end),
    };
    reader.connected();
    let mut lines = Lines::new(LineEnd::Any);
    let mut parser = EventParser::default();
    loop {
        let piece = match next_of_stream(&mut body).await {
            Ok(piece) => piece,
            Err(end) => return Ok(end.with_retry(parser.retry)),
        };
        if lines.push(&piece).is_err() {
            return Ok(End::cut("a line never ends"));
        }
        while let Some(line) = lines.next_line() {
            let Some(event) = parser.line(&String::from_utf8_lossy(&line)) else {
                continue;
            };
            if let ControlFlow::Break(end) = take(reader, &event)? {
                return Ok(end);
            }
        }
    }
}

fn take(reader: &mut Reader<'_>, event: &Event) -> Result<ControlFlow<End>, CliError> {
    let flow = match (&event.data, event.name.as_deref()) {
        (None, _) => ControlFlow::Continue(()),
        (Some(data), Some(GAP_EVENT)) => {
            let gap: Gap = serde_json::from_str(data).unwrap_or_default();
            reader.tell_gap(gap.channel.as_deref(), &event.id);
            ControlFlow::Continue(())
        }
        (Some(data), name) => reader.hear(&HeardMessage {
            cursor: Some(event.id.clone()),
            event: name.map(str::to_owned),
            ..HeardMessage::of(raw(data))
        })?,
    };
    reader.move_to(&event.id);
    Ok(flow)
}

#[derive(Debug, Default, Deserialize)]
struct Gap {
    channel: Option<String>,
}

/// An event stream shows a string as itself and anything else as JSON: what is not JSON was a string.
fn raw(data: &str) -> Box<RawValue> {
    let json = serde_json::from_str(data).or_else(|_| serde_json::value::to_raw_value(data));
    json.expect("a string can be written as JSON")
}

/// What a blank line ends: an event, or only a new id.
#[derive(Debug, PartialEq)]
struct Event {
    /// The newest id, which stays until another comes.
    id: String,
    name: Option<String>,
    /// Nothing, if only the id is new.
    data: Option<String>,
}

/// Puts lines together to events.
#[derive(Debug, Default)]
struct EventParser {
    id: String,
    name: Option<String>,
    data: Option<String>,
    id_is_new: bool,
    retry: Option<Duration>,
}

impl EventParser {
    /// Takes the next line, and gives what it ends.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.end();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = Some(value.to_owned()),
            "id" if !value.contains('\0') => {
                value.clone_into(&mut self.id);
                self.id_is_new = true;
            }
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis);
            }
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }

    fn end(&mut self) -> Option<Event> {
        let name = self.name.take();
        let data = self.data.take();
        let id_is_new = std::mem::take(&mut self.id_is_new);
        (data.is_some() || id_is_new).then(|| Event {
            id: self.id.clone(),
            name,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let mut parser = EventParser::default();
        text.lines().filter_map(|line| parser.line(line)).collect()
    }

    fn event(id: &str, name: Option<&str>, data: Option<&str>) -> Event {
        Event {
            id: id.to_owned(),
            name: name.map(str::to_owned),
            data: data.map(str::to_owned),
        }
    }

    #[test]
    fn fields_make_events_as_the_standard_says() {
        let text = ":\n\nid: 1-1\n\ndata: a\ndata:  b\ndata\n\nevent: e\nid: 1-2\ndata:x:y\nother: z\n\nevent: lost\n\ndata: c\n\n";
        let expected = [
            event("1-1", None, None),
            event("1-1", None, Some("a\n b\n")),
            event("1-2", Some("e"), Some("x:y")),
            event("1-2", None, Some("c")),
        ];
        assert_eq!(events(text), expected);
    }

    #[test]
    fn what_is_not_json_was_a_string() {
        assert_eq!(raw("hello \"you\"").get(), r#""hello \"you\"""#);
        assert_eq!(raw(r#"{"a": 1}"#).get(), r#"{"a": 1}"#);
    }

    #[test]
    fn retry_is_a_whole_number() {
        let mut parser = EventParser::default();
        parser.line("retry: 3000");
        parser.line("retry: soon");
        assert_eq!(parser.retry, Some(Duration::from_secs(3)));
    }
}
