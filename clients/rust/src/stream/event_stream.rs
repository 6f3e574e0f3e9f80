//! Puts the lines of an event stream together to events, as an `EventSource` does
//! ([HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)). Sans-io.

use std::time::Duration;

/// What a blank line ends: an event, or only a new id.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    /// The newest id, which stays until another comes.
    pub(super) id: String,
    /// Nothing, if only the id is new.
    pub(super) data: Option<String>,
}

/// The fields of the event whose end has not come yet. The names of events are left out: this client asks for objects, which
/// tell what they are.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    id: String,
    data: Option<String>,
    id_is_new: bool,
    /// When the broker wants to see the client again once the stream has ended.
    pub(super) retry: Option<Duration>,
}

impl EventParser {
    /// Takes the next line, and gives what it ends.
    pub(super) fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.end();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
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
        let data = self.data.take();
        let id_is_new = std::mem::take(&mut self.id_is_new);
        (data.is_some() || id_is_new).then(|| Event {
            id: self.id.clone(),
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

    fn event(id: &str, data: Option<&str>) -> Event {
        Event {
            id: id.to_owned(),
            data: data.map(str::to_owned),
        }
    }

    #[test]
    fn fields_make_events_as_the_standard_says() {
        let text = ":\n\nid: 1-1\n\ndata: a\ndata:  b\ndata\n\nevent: e\nid: 1-2\ndata:x:y\nother: z\n\nevent: lost\n\ndata: c\n\n";
        let expected = [
            event("1-1", None),
            event("1-1", Some("a\n b\n")),
            event("1-2", Some("x:y")),
            event("1-2", Some("c")),
        ];
        assert_eq!(events(text), expected);
    }

    #[test]
    fn retry_is_a_whole_number() {
        let mut parser = EventParser::default();
        parser.line("retry: 3000");
        parser.line("retry: soon");
        assert_eq!(parser.retry, Some(Duration::from_secs(3)));
    }
}
