//! The reader: what it listens to, how far it has come, and the loop around its connections.

use std::io::Write;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use actix_rt::time::sleep;
use awc::Client;
use futures_util::future::{Either, select};
use widecast_protocol::{ChannelName, Cursor, CursorVector, Position};

use super::backoff::Backoff;
use super::end::End;
use super::message::HeardMessage;
use super::printer::{Naming, Printer};
use super::{event_stream, http_stream, long_poll, past, websocket};
use crate::cli::arguments::{SubscribeArguments, Transport};
use crate::cli::broker::BrokerUrl;
use crate::cli::error::CliError;
use crate::cli::tls::{Tls, client};
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
    let history = arguments.history;
    let tls = arguments.broker.tls()?;
    let system = actix_rt::System::new();
    system.block_on(async {
        let mut reader = Reader {
            client: client(tls.as_ref()),
            tls,
            broker: arguments.broker.url,
            printer: Printer {
                form: arguments.output,
                naming: Naming::of(&arguments.channels),
                output,
                notices,
            },
            channels: arguments.channels,
            cursor: arguments.cursor,
            heartbeat: Duration::ZERO,
            left: arguments.count,
            connections: Connections::Never,
        };
        let listening = pin!(reader.listen(transport, history));
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
    /// How those over TLS are made, if the broker needs any.
    pub(super) tls: Option<Tls>,
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
    async fn listen(&mut self, transport: Transport, history: Option<u32>) -> Result<(), CliError> {
        let mut backoff = Backoff::default();
        if self.left == Some(0) {
            return Ok(());
        }
        if let Some(limit) = history {
            match past::print(self, limit).await? {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(End::Enough) => return Ok(()),
                ControlFlow::Break(End::Cut { reason, .. }) => {
                    return Err(CliError::unreachable(&self.broker, reason));
                }
            }
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
                    return Err(CliError::unreachable(&self.broker, reason));
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
        let channel = match &message.channel {
            None => message
                .cursor
                .as_deref()
                .and_then(|cursor| self.moved(cursor)),
            Some(_) => None,
        };
        self.printer.message(message, channel.as_ref())?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(match self.left {
            Some(0) => ControlFlow::Break(End::Enough),
            _ => ControlFlow::Continue(()),
        })
    }

    /// The channel of a message that says only at which places all channels are after it: the one that has moved.
    fn moved(&self, cursor: &str) -> Option<ChannelName> {
        if let [channel] = self.channels.as_slice() {
            return Some(channel.clone());
        }
        let cursor = Cursor::parse(cursor).ok()?;
        let moved = |name: &&ChannelName| cursor.position(name) != self.position(name);
        let mut moved = self.channels.iter().filter(moved);
        match (moved.next(), moved.next()) {
            (Some(channel), None) => Some(channel.clone()),
            _ => None,
        }
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
