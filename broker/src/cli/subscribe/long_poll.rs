//! Listens by polling: each answer has what is newer than the cursor, and the next cursor.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Deserialize;

use super::end::{End, Listened};
use super::http::{Request, whole};
use super::message::HeardMessage;
use super::reader::Reader;

/// How long an answer may take: more than a poll waits, unless the broker is set up otherwise, and then the poll is sent
/// again without loss.
const PATIENCE: Duration = Duration::from_mins(2);
/// The most one answer may have.
const MAX_ANSWER_BYTES: usize = 1 << 30;

const REQUEST: Request = Request {
    transport: "poll",
    accept: "application/json",
    patience: PATIENCE,
};

/// The answer to a poll.
#[derive(Debug, Deserialize)]
struct Polled {
    messages: Vec<HeardMessage>,
    cursor: String,
    recovered: bool,
}

/// Polls until a poll fails.
pub(super) async fn listen(reader: &mut Reader<'_>) -> Listened {
    loop {
        let body = match REQUEST.send(reader).await? {
            Ok(mut body) => whole(&mut body, MAX_ANSWER_BYTES).await,
            Err(end) => Err(end),
        };
        let body = match body {
            Ok(body) => body,
            Err(end) => return Ok(end),
        };
        let Ok(polled) = serde_json::from_slice::<Polled>(&body) else {
            return Ok(End::cut("the broker sent what is no answer to a poll"));
        };
        reader.connected();
        if !polled.recovered {
            reader.tell_gap(None, &polled.cursor);
        }
        for message in &polled.messages {
            if let ControlFlow::Break(end) = reader.hear(message)? {
                return Ok(end);
            }
            // Should the output fail half-way, nothing is printed twice.
            if let Some(cursor) = &message.cursor {
                reader.move_to(cursor);
            }
        }
        reader.move_to(&polled.cursor);
    }
}
