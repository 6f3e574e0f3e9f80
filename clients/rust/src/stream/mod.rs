//! HTTP answers that do not end: event streams and lines of JSON, cut into the JSON objects that they bring.

mod event_stream;
mod lines;

use std::time::Duration;

use bytes::Bytes;
use hyper::http;
use tokio::time::{Instant, timeout_at};

use self::event_stream::EventParser;
use self::lines::{LineEnd, Lines};
use crate::error::Error;
use crate::http::{CONNECT_TIMEOUT, Http, HttpAnswer};
use crate::reconnect::End;
use crate::transport::Transport;

/// How long a connection may be silent: three times the default time between heartbeats. A broker with rarer heartbeats is
/// connected to anew, which loses nothing.
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(75);

/// An item that a stream brings.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A JSON object.
    Object(Bytes),
    /// Only the place where the reader is.
    Place(String),
}

/// A stream whose head has come.
#[derive(Debug)]
pub(crate) struct ObjectStream {
    answer: HttpAnswer,
    lines: Lines,
    /// Puts lines together, if it is an event stream.
    events: Option<EventParser>,
    /// When something came last, be it a heartbeat.
    heard: Instant,
    silence: Duration,
}

impl ObjectStream {
    /// Asks for a stream, and waits until it begins.
    pub(crate) async fn open(
        http: &Http,
        request: http::request::Builder,
        transport: Transport,
    ) -> Result<Self, Error> {
        let answer = http.send(request, Bytes::new(), CONNECT_TIMEOUT).await?;
        let is_event_stream = transport == Transport::Sse;
        let end = if is_event_stream {
            LineEnd::Any
        } else {
            LineEnd::Lf
        };
        Ok(Self {
            answer,
            lines: Lines::new(end),
            events: is_event_stream.then(EventParser::default),
            heard: Instant::now(),
            silence: LONGEST_SILENCE,
        })
    }

    /// The place that the stream begins at.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.answer.cursor.as_deref()
    }

    /// Takes note of the interval between the broker's heartbeats.
    pub(crate) fn set_heartbeat(&mut self, interval: Duration) {
        self.silence = LONGEST_SILENCE.max(interval.saturating_mul(3));
    }

    /// Nothing was read for a while, because there was no room: that nothing came is not the broker's fault.
    pub(crate) fn resume(&mut self) {
        self.heard = Instant::now();
    }

    /// The next object or place. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Piece, End> {
        loop {
            while let Some(line) = self.lines.next_line() {
                if let Some(piece) = self.piece(line) {
                    return Ok(piece);
                }
            }
            let piece = timeout_at(self.heard + self.silence, self.answer.piece()).await;
            let piece = piece.map_err(|_| self.end("no heartbeat"))??;
            let piece = piece.ok_or_else(|| self.end("the stream ended"))?;
            self.heard = Instant::now();
            let taken = self.lines.push(&piece);
            taken.map_err(|_| End::from(Error::Protocol("lines that end")))?;
        }
    }

    fn piece(&mut self, line: Bytes) -> Option<Piece> {
        let Some(events) = &mut self.events else {
            return (!line.is_empty()).then_some(Piece::Object(line));
        };
        let event = events.line(&String::from_utf8_lossy(&line))?;
        Some(match event.data {
            Some(data) => Piece::Object(data.into()),
            None => Piece::Place(event.id),
        })
    }

    /// How a stream ended: an event stream has said when the client is to come back.
    fn end(&self, reason: &str) -> End {
        End {
            error: Error::Cut(reason.to_owned()),
            again_in: self.events.as_ref().and_then(|events| events.retry),
        }
    }
}
