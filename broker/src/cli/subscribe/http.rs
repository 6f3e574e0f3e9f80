//! What the HTTP transports share: their addresses, and asking for them.

use std::time::Duration;

use actix_rt::time::timeout;
use awc::error::PayloadError;
use awc::http::header::ACCEPT;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;

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

/// The body of an answer.
pub(super) type Body = LocalBoxStream<'static, Result<Bytes, PayloadError>>;

/// A stream of bytes, or how the attempt to get one ended.
pub(super) enum Answer {
    /// The answer is a success.
    Success(Body),
    /// There is none.
    Ended(End),
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

    /// Asks, and tells refusals that make no sense to repeat from others.
    pub(super) async fn send(&self, reader: &Reader<'_>) -> Result<Answer, CliError> {
        let request = reader
            .client
            .get(self.address(reader))
            .insert_header((ACCEPT, self.accept));
        let mut response = match timeout(self.patience, request.send()).await {
            Err(_) => return Ok(Answer::Ended(End::cut("no answer"))),
            Ok(Err(error)) => return Ok(Answer::Ended(End::cut(chain(&error)))),
            Ok(Ok(response)) => response,
        };
        if response.status().is_success() {
            return Ok(Answer::Success(response.boxed_local()));
        }
        let body = response
            .body()
            .limit(MAX_PROBLEM_BYTES)
            .await
            .unwrap_or_default();
        refused(response.status().as_u16(), &body).map(Answer::Ended)
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
pub(super) async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, End> {
    match timeout(LONGEST_SILENCE, body.next()).await {
        Err(_) => Err(End::cut("no heartbeat")),
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => Err(End::cut(chain(&error))),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
    }
}

/// The next piece of a body that never ends by itself.
pub(super) async fn next_of_stream(body: &mut Body) -> Result<Bytes, End> {
    let piece = next_piece(body).await?;
    piece.ok_or_else(|| End::cut("the stream ended"))
}
