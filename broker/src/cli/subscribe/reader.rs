//! The reader: what it listens to, how far it has come, and the loop around its connections.

use std::io::Write;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use actix_rt::time::sleep;
use awc::Client;
use awc::http::Version;
use futures_util::future::{Either, select};
use widecast_protocol::{ChannelName, Cursor, CursorVector, Position};

use super::backoff::Backoff;
use super::end::End;
use super::message::HeardMessage;
use super::printer::Printer;
use super::{event_stream, http_stream, long_poll, websocket};
use crate::cli::arguments::{SubscribeArguments, Transport};
use crate::cli::broker::BrokerUrl;
use crate::cli::error::CliError;
use crate::shutdown;

/// Prints the messages of channels as they come, until as many have come as were asked for, or SIGINT or SIGTERM.
///
/// # Errors
/// When the broker cannot be reached at first, refuses for good, or the output cannot be written.
pub fn subscribe(
    arguments: SubscribeArguments,
    output: &mut dyn Write,
    notices: &mut dyn Write,
) -> Result<(), CliError> {
    let transport = arguments.transport;
    let system = actix_rt::System::new();
    system.block_on(async {
        let client = Client::builder()
            .max_http_version(Version::HTTP_11)
            .disable_timeout()
            .finish();
        let mut reader = Reader {
            client,
            broker: arguments.broker.url,
            channels: arguments.channels,
            cursor: arguments.cursor,
            heartbeat: Duration::ZERO,
            left: arguments.count,
            connections: Connections::Never,
            printer: Printer {
                form: arguments.output,
                output,
                notices,
            },
        };
        let listening = pin!(reader.listen(transport));
        let caught = shutdown::signal();
        let interrupted = caught.map_err(|error| CliError::System("wait for signals", error))?;
        match select(listening, pin!(interrupted)).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Ok(()),
        }
    })
}

/// What is known of the connections so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connections {
    /// None has worked yet.
    Never,
    /// One has worked before, the present one has not.
    Before,
    /// The present one works.
    Now,
}

/// Somebody who listens to channels across several connections.
pub(super) struct Reader<'a> {
    /// Makes connections.
    pub(super) client: Client,
    /// The broker.
    pub(super) broker: BrokerUrl,
    /// What is listened to.
    pub(super) channels: Vec<ChannelName>,
    /// How far the reader has come.
    pub(super) cursor: Option<Cursor>,
    /// How often the broker said it sends heartbeats.
    pub(super) heartbeat: Duration,
    left: Option<u64>,
    connections: Connections,
    printer: Printer<'a>,
}

impl Reader<'_> {
    async fn listen(&mut self, transport: Transport) -> Result<(), CliError> {
        let mut backoff = Backoff::default();
        if self.left == Some(0) {
            return Ok(());
        }
        loop {
            let end = match transport {
                Transport::Ws => websocket::listen(self).await?,
                Transport::Sse => event_stream::listen(self).await?,
                Transport::Stream => http_stream::listen(self).await?,
                Transport::Poll => long_poll::listen(self).await?,
            };
            let End::Cut {
                reason,
                again_after,
            } = end
            else {
                return Ok(());
            };
            match self.connections {
                Connections::Never => {
                    let url = self.broker.to_string();
                    return Err(CliError::Unreachable { url, reason });
                }
                Connections::Now => backoff.reset(),
                Connections::Before => {}
            }
            self.connections = Connections::Before;
            let wait = again_after.unwrap_or_else(|| backoff.next(rand::random()));
            self.tell_cut(&reason, wait);
            sleep(wait).await;
        }
    }

    /// The present connection works: the broker has accepted what it was asked for.
    pub(super) fn connected(&mut self) {
        if self.connections == Connections::Before {
            self.printer.notice("connected again");
        }
        self.connections = Connections::Now;
    }

    /// Prints a message, and breaks off when that was the last one wanted.
    pub(super) fn hear(&mut self, message: &HeardMessage) -> Result<ControlFlow<End>, CliError> {
        self.printer.message(message)?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(match self.left {
            Some(0) => ControlFlow::Break(End::Enough),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Takes over the place that the broker named, for all channels together.
    pub(super) fn move_to(&mut self, cursor: &str) {
        // What cannot be read is from a broker of another kind; the last place that could be is kept.
        if let Ok(cursor) = Cursor::parse(cursor) {
            self.cursor = Some(cursor);
        }
    }

    /// The place in one channel.
    pub(super) fn position(&self, channel: &ChannelName) -> Option<Position> {
        self.cursor.as_ref()?.position(channel)
    }

    /// Takes over the place in one channel.
    pub(super) fn move_in(&mut self, channel: &ChannelName, position: Position) {
        if self.channels.len() == 1 {
            self.cursor = Some(Cursor::One(position));
            return;
        }
        let mut vector = CursorVector::new();
        for name in &self.channels {
            if let Some(position) = self.position(name) {
                vector.set(name, position);
            }
        }
        vector.set(channel, position);
        self.cursor = Some(Cursor::Several(vector));
    }

    /// Tells people that messages are lost.
    pub(super) fn tell_gap(&mut self, channel: Option<&str>, cursor: &str) {
        let whose = channel.map_or_else(String::new, |name| format!(" of {name}"));
        let text = format!("gap: messages{whose} were lost before the cursor {cursor}");
        self.printer.notice(&text);
    }

    fn tell_cut(&mut self, reason: &str, wait: Duration) {
        let text = format!(
            "connection lost ({reason}), trying again in {} ms",
            wait.as_millis()
        );
        self.printer.notice(&text);
    }
}
