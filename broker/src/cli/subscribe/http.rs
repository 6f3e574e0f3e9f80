//! What the HTTP transports share: their addresses, and asking for them.

use std::time::Duration;

use actix_rt::time::timeout;
use bytes::Bytes;
use futures_util::StreamExt;

use super::connection::{Body, get};
use super::end::{End, Listened};
use super::reader::Reader;
use crate::cli::broker::{Problem, encoded};
use crate::cli::error::{CliError, chain};

/// How long a stream may be silent: three times the default time between heartbeats. A broker with rarer heartbeats is
/// connected to anew, which loses nothing.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(75);
/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The most that is read of a refusal.
const MAX_PROBLEM_BYTES: usize = 1024 * 1024;

/// What is asked of the broker.
pub(super) struct Request {
    /// The last part of the path: `sse`, `stream` or `poll`.
    pub(super) transport: &'static str,
    /// The type of the answer.
    pub(super) accept: &'static str,
    /// How long the head of the answer may take.
    pub(super) patience: Duration,
}

impl Request {
    /// The address: one channel has its own path, several share one.
    fn address(&self, reader: &Reader<'_>) -> String {
        let transport = self.transport;
        let mut query: Vec<String> = Vec::new();
        let path = match reader.channels.as_slice() {
            [channel] => format!("/channels/{}/{transport}", encoded(channel.as_str())),
            channels => {
                let names = channels.iter();
                query.extend(names.map(|name| format!("channel={}", encoded(name.as_str()))));
                format!("/v1/{transport}")
            }
        };
        if let Some(cursor) = &reader.cursor {
            query.push(format!("cursor={}", encoded(&cursor.to_string())));
        }
        let mark = if query.is_empty() { "" } else { "?" };
        reader
            .broker
            .join(&format!("{path}{mark}{}", query.join("&")))
    }

    /// Asks, and tells refusals that make no sense to repeat from others. Gives the body, or how listening ends.
    pub(super) async fn send(
        &self,
        reader: &mut Reader<'_>,
    ) -> Result<Result<Body, End>, CliError> {
        let address = self.address(reader);
        let answer = get(&address, self.accept, reader.tls.as_ref());
        let Ok(answer) = timeout(self.patience, answer).await else {
            return Ok(Err(End::cut("no answer")));
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(End::cut(chain(&*error)))),
        };
        if (200..300).contains(&answer.status) {
            // The place to come back to after a cut before the first message.
            if let (None, Some(cursor)) = (&reader.cursor, &answer.cursor) {
                reader.move_to(cursor);
            }
            return Ok(Ok(answer.body));
        }
        let body = whole(&mut answer.body, MAX_PROBLEM_BYTES).await;
        refused(answer.status, &body.unwrap_or_default()).map(Err)
    }
}

/// What a refusal means: to try again later, or to give up.
pub(super) fn refused(status: u16, body: &[u8]) -> Listened {
    let problem = Problem::read(status, body);
    if problem.retryable {
        Ok(End::cut(problem.to_string()))
    } else {
        Err(CliError::Refused(problem.to_string()))
    }
}

/// The next piece of a body, nothing at its end, or how it was cut.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, End> {
    match timeout(LONGEST_SILENCE, body.next()).await {
        Err(_) => Err(End::cut("no heartbeat")),
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => Err(End::cut(chain(&*error))),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
    }
}

/// A body that ends by itself.
pub(super) async fn whole(body: &mut Body, most: usize) -> Result<Vec<u8>, End> {
    let mut read = Vec::new();
    while let Some(piece) = next_piece(body).await? {
        if read.len() + piece.len() > most {
            return Err(End::cut("an answer never ends"));
        }
        read.extend_from_slice(&piece);
    }
    Ok(read)
}

/// The next piece of a body that never ends by itself.
pub(super) async fn next_of_stream(body: &mut Body) -> Result<Bytes, End> {
    let piece = next_piece(body).await?;
    piece.ok_or_else(|| End::cut("the stream ended"))
}
