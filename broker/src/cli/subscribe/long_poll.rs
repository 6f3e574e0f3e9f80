//! Listens by polling: each answer has what is newer than the cursor, and the next cursor.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Deserialize;

use super::end::{End, Listened};
use super::http::{Answer, Request, next_piece};
use super::message::HeardMessage;
use super::reader::Reader;

/// How long an answer may take: more than a poll waits, unless the broker is set up otherwise, and then the poll is sent
/// again without loss.
const PATIENCE: Duration = Duration::from_mins(2);
/// The most one answer may have.
const MAX_ANSWER_BYTES: usize = 1 << 30;

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
        let body = match poll(reader).await? {
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

/// One poll: its body, or how it failed.
async fn poll(reader: &Reader<'_>) -> Result<Result<Vec<u8>, End>, crate::cli::error::CliError> {
    let request = Request {
        transport: "poll",
        accept: "application/json",
        patience: PATIENCE,
    };
    let mut stream = match request.send(reader).await? {
        Answer::Success(stream) => stream,
        Answer::Ended(end) => return Ok(Err(end)),
    };
    let mut body = Vec::new();
    loop {
        match next_piece(&mut stream).await {
            Ok(Some(piece)) if body.len() + piece.len() <= MAX_ANSWER_BYTES => {
                body.extend_from_slice(&piece);
            }
            Ok(Some(_)) => return Ok(Err(End::cut("an answer never ends"))),
            Ok(None) => return Ok(Ok(body)),
            Err(end) => return Ok(Err(end)),
        }
    }
}
