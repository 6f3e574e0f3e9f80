//! Listens to an HTTP stream: one JSON object a line; empty lines are heartbeats.

use std::ops::ControlFlow;

use serde::Deserialize;

use super::end::{End, Listened};
use super::http::{CONNECT_TIMEOUT, Request, next_of_stream};
use super::lines::{LineEnd, Lines};
use super::message::HeardMessage;
use super::reader::Reader;
use crate::cli::error::CliError;

/// Listens until the connection ends.
pub(super) async fn listen(reader: &mut Reader<'_>) -> Listened {
    let request = Request {
        transport: "stream",
        accept: "application/x-ndjson",
        patience: CONNECT_TIMEOUT,
    };
    let mut body = match request.send(reader).await? {
        Ok(body) => body,
        Err(end) => return Ok(end),
    };
    reader.connected();
    let mut lines = Lines::new(LineEnd::Lf);
    loop {
        let piece = match next_of_stream(&mut body).await {
            Ok(piece) => piece,
            Err(end) => return Ok(end),
        };
        if lines.push(&piece).is_err() {
            return Ok(End::cut("a line never ends"));
        }
        while let Some(line) = lines.next_line() {
            if line.is_empty() {
                continue;
            }
            if let ControlFlow::Break(end) = take(reader, &line)? {
                return Ok(end);
            }
        }
    }
}

/// A line that is no message: a gap, or only the place where the reader is.
#[derive(Debug, Deserialize)]
struct Notice {
    #[serde(rename = "type")]
    kind: Option<String>,
    channel: Option<String>,
    cursor: String,
}

fn take(reader: &mut Reader<'_>, line: &[u8]) -> Result<ControlFlow<End>, CliError> {
    if let Ok(message) = serde_json::from_slice::<HeardMessage>(line) {
        let flow = reader.hear(&message)?;
        if let Some(cursor) = &message.cursor {
            reader.move_to(cursor);
        }
        return Ok(flow);
    }
    let Ok(notice) = serde_json::from_slice::<Notice>(line) else {
        return Ok(ControlFlow::Break(End::cut(
            "the broker sent what is no message",
        )));
    };
    if notice.kind.as_deref() == Some("gap") {
        reader.tell_gap(notice.channel.as_deref(), &notice.cursor);
    }
    reader.move_to(&notice.cursor);
    Ok(ControlFlow::Continue(()))
}
