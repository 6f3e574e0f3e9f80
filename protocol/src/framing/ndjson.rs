//! Lines of JSON ([NDJSON](https://github.com/ndjson/ndjson-spec)). An empty line is a heartbeat.
//!
//! No JSON that the broker writes has a line break in it, so a line is complete when its LF is there.

use bytes::Bytes;

/// An empty line.
pub fn heartbeat() -> Bytes {
    Bytes::from_static(b"\n")
}

/// The line of the JSON that `write` appends, about `capacity` bytes.
pub(crate) fn line(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(capacity + 1);
    write(&mut out);
    out.push(b'\n');
    out.into()
}
