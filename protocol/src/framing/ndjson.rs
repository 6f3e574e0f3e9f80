//! Lines of JSON ([NDJSON](https://github.com/ndjson/ndjson-spec)). An empty line is a heartbeat.
//!
//! No JSON that the broker writes has a line break in it, so a line is complete when its LF is there.

use std::fmt::Display;

use bytes::Bytes;

use crate::codec::notation::{Json, Object};
use crate::name::ChannelName;

/// Room for the names and a cursor of one channel.
pub(super) const GAP_CAPACITY: usize = 192;

/// An empty line.
pub fn heartbeat() -> Bytes {
    Bytes::from_static(b"\n")
}

/// Tells the reader that messages of a channel were lost, and that it goes on after `cursor`.
pub fn gap(channel: &ChannelName, cursor: impl Display) -> Bytes {
    line(GAP_CAPACITY, |out| {
        Object::<Json>::frame(out, "gap")
            .text("channel", channel.as_str())
            .boolean("recovered", false)
            .shown("cursor", cursor)
            .end();
    })
}

/// The line of the JSON that `write` appends, about `capacity` bytes.
pub(crate) fn line(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(capacity + 1);
    write(&mut out);
    out.push(b'\n');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_line() {
        let news = ChannelName::parse("news\u{2028}").unwrap();
        insta::assert_snapshot!(gap(&news, "1-2").escape_ascii(), @r#"{\"type\":\"gap\",\"channel\":\"news\xe2\x80\xa8\",\"recovered\":false,\"cursor\":\"1-2\"}\n"#);
        assert_eq!(heartbeat(), "\n");
    }
}
