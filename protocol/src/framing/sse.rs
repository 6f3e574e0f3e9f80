//! Event streams
//! ([HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)).
//!
//! A line break in the data of an event, be it LF, CR or CRLF, begins another `data:` line, and the reader joins the lines
//! with LF: an event stream cannot tell the three apart. All other text, and all JSON, arrives as it was sent.

use std::fmt::Display;
use std::io::Write;

use bytes::Bytes;

use super::wire::GAP_CAPACITY;
use crate::codec::notation::{Json, Object};
use crate::name::ChannelName;

/// The name of the event that tells of lost messages.
pub const GAP_EVENT: &str = "widecast.gap";

/// The name of the event that tells why the stream ends.
pub const GOODBYE_EVENT: &str = "widecast.goodbye";

/// A comment, which readers ignore.
pub fn heartbeat() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// Tells the reader how long to wait before it connects again.
pub fn retry(after_ms: u64) -> Bytes {
    format!("retry: {after_ms}\n\n").into()
}

/// Moves the reader's last event id without an event.
pub fn id(cursor: impl Display) -> Bytes {
    format!("id: {cursor}\n\n").into()
}

/// Tells the reader that messages of a channel were lost, and that it goes on after `cursor`: in one event, so that nobody
/// has the new id without the news.
pub(crate) fn gap(channel: &ChannelName, cursor: &dyn Display) -> Bytes {
    let mut out = Vec::with_capacity(GAP_CAPACITY);
    write!(out, "id: {cursor}\nevent: {GAP_EVENT}\ndata: ")
        .expect("writing to memory does not fail");
    Object::<Json>::begin(&mut out)
        .text("channel", channel.as_str())
        .shown("cursor", cursor)
        .boolean("recovered", false)
        .end();
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// An event with an id, of the one line of JSON that `write` appends, about `capacity` bytes.
pub(crate) fn object(
    capacity: usize,
    cursor: impl Display,
    write: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    let mut out = Vec::with_capacity(capacity + 16);
    writeln!(out, "id: {cursor}").expect("writing to memory does not fail");
    write_line(&mut out, write);
    out.push(b'\n');
    out.into()
}

/// Tells the reader why the stream ends, by the one line of JSON that `write` appends, about `capacity` bytes. It has no id: the reader's place
/// stays where it is.
pub(crate) fn goodbye(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(capacity + 32);
    writeln!(out, "event: {GOODBYE_EVENT}").expect("writing to memory does not fail");
    write_line(&mut out, write);
    out.push(b'\n');
    out.into()
}

/// An event of the one line of JSON that `write` appends, about `capacity` bytes.
pub(crate) fn frame(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(capacity + 8);
    write_line(&mut out, write);
    out.push(b'\n');
    out.into()
}

/// Writes the one line of JSON that `write` appends as a `data:` line.
pub(crate) fn write_line(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"data: ");
    write(out);
    out.push(b'\n');
}

/// How much room text takes as `data:` lines, at the most.
pub(crate) fn data_capacity(text: &[u8]) -> usize {
    let breaks = text.iter().filter(|b| matches!(b, b'\r' | b'\n')).count();
    text.len() + (breaks + 1) * "\ndata: ".len()
}

/// Writes text as `data:` lines.
pub(crate) fn write_data(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(b"data: ");
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\ndata: ");
        let break_bytes = if rest[at..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[at + break_bytes..];
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }

    #[test]
    fn blocks_without_data() {
        assert_eq!(shown(&heartbeat()), r":\n\n");
        assert_eq!(shown(&retry(1500)), r"retry: 1500\n\n");
        assert_eq!(shown(&id("a=1-2,b=3-4")), r"id: a=1-2,b=3-4\n\n");
    }

    #[test]
    fn every_line_break_begins_a_data_line() {
        let data = |text: &str| {
            let mut out = Vec::new();
            write_data(&mut out, text.as_bytes());
            assert!(out.len() <= data_capacity(text.as_bytes()));
            shown(&out)
        };
        assert_eq!(data(""), r"data: \n");
        assert_eq!(data(" a"), r"data:  a\n");
        assert_eq!(data("a\nb"), r"data: a\ndata: b\n");
        assert_eq!(data("a\r\nb\r"), r"data: a\ndata: b\ndata: \n");
        assert_eq!(data("\r\r\n\n"), r"data: \ndata: \ndata: \ndata: \n");
    }
}
