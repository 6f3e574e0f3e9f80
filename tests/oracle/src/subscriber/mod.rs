//! Subscribers: each follows the documented resume rule of its transport, comes back after every cut, and writes down
//! what it is told.

mod event_stream;
mod http;
mod lines;
mod object_websocket;
mod poll;
mod raw_websocket;
mod session;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use widecast_tests::{Endpoint, Transport};

use crate::catalog::Catalog;
use crate::log::{Log, Told};
use crate::place::{Place, Places, read_cursor};

use self::event_stream::EventSource;
use self::lines::LineReader;
use self::object_websocket::ObjectSocket;
use self::poll::Poller;
use self::raw_websocket::RawSocket;
use self::session::Session;

pub use self::session::Publishing;

/// How long a client waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// After how long without a word a client takes its connection for dead.
const SILENCE: Duration = Duration::from_secs(5);

/// What one subscriber is to do.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// How it hears.
    pub transport: Transport,
    /// What it hears.
    pub channels: Vec<String>,
    /// The sender key that it keeps.
    pub sender: Option<String>,
    /// Whether it hears its own messages.
    pub echo: bool,
    /// How a session joins its channels.
    pub habit: Habit,
    /// How many past messages a session asks for where it has no cursor.
    pub history: Option<u32>,
    /// Whether a session of polls is in MessagePack.
    pub packed: bool,
    /// What a session publishes, if anything.
    pub publishing: Option<Publishing>,
}

/// How a session joins its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// By one frame with a command for each, and stays.
    Stays,
    /// By a command each, waiting for each answer, and stays.
    OneByOne,
    /// All at once, then leaves one now and then and comes back.
    Leaves,
}

/// A subscriber.
pub struct Subscriber {
    /// What it is to do.
    pub spec: Spec,
    /// Its way to the broker.
    pub endpoint: Endpoint,
    /// What it is told.
    pub log: Arc<Log>,
    /// What was published.
    pub catalog: Arc<Catalog>,
    /// Its own chance.
    pub random: StdRng,
    /// Becomes true when nothing more is to be published.
    pub calm: watch::Receiver<bool>,
}

/// What a subscriber keeps over its connections.
enum Memory {
    RawSocket(RawSocket),
    ObjectSocket(ObjectSocket),
    Events(EventSource),
    Lines(LineReader),
    Poll(Poller),
    Session(Box<Session>),
}

impl Subscriber {
    /// Subscribes for as long as it is awaited.
    pub async fn run(mut self) {
        let mut memory = Memory::of(self.spec.transport);
        loop {
            let end = match &mut memory {
                Memory::RawSocket(it) => it.connection(&mut self).await,
                Memory::ObjectSocket(it) => it.connection(&mut self).await,
                Memory::Events(it) => it.connection(&mut self).await,
                Memory::Lines(it) => it.connection(&mut self).await,
                Memory::Poll(it) => it.poll(&mut self).await,
                Memory::Session(it) => it.connection(&mut self).await,
            };
            let end = end.unwrap_or_else(|error| {
                let error = format!("{error:#}");
                if says_never(&error) {
                    self.strange(format!("refused: {error}"));
                }
                error
            });
            let polled = end.is_empty();
            if !polled {
                self.log.tell(Told::Ended(end));
            }
            let pause = self.random.random_range(1..if polled { 15 } else { 60 });
            sleep(Duration::from_millis(pause)).await;
        }
    }

    fn asked(&self, what: &str, from: Option<Places>) {
        let what = what.to_owned();
        self.log.tell(Told::Asked { what, from });
    }

    fn strange(&self, what: String) {
        self.log.tell(Told::Strange(what));
    }

    /// Reads a cursor, and writes down that it was given.
    fn given(&self, by: &'static str, cursor: &str) -> Result<Places> {
        let places = self.read(cursor)?;
        let told = places.clone();
        self.log.tell(Told::Given { by, places: told });
        Ok(places)
    }

    /// Reads a cursor; one that cannot be read is strange.
    fn read(&self, cursor: &str) -> Result<Places> {
        read_cursor(cursor, &self.spec.channels).inspect_err(|error| {
            self.strange(format!("the cursor {cursor}: {error:#}"));
        })
    }

    /// Writes down that a gap was told, with the cursor that came with it, if any.
    fn gap(&self, channel: &str, cursor: Option<&str>) -> Result<()> {
        let upto = match cursor {
            Some(several) if several.contains('=') => self.read(several)?.remove(channel),
            Some(one) => Place::read(one).ok(),
            None => None,
        };
        if let (Some(cursor), None) = (cursor, &upto) {
            self.strange(format!("a gap of {channel} with the cursor {cursor}"));
        }
        self.log.tell(Told::Gap {
            channel: Some(channel.to_owned()),
            upto,
            on_resume: false,
        });
        Ok(())
    }
}

impl Memory {
    fn of(transport: Transport) -> Self {
        match transport {
            Transport::RawWebSocket | Transport::ValueWebSocket => {
                Self::RawSocket(RawSocket::default())
            }
            Transport::ObjectWebSocket => Self::ObjectSocket(ObjectSocket::default()),
            Transport::RawSse | Transport::ObjectSse => Self::Events(EventSource::default()),
            Transport::RawStream => Self::Lines(LineReader::default()),
            Transport::LongPoll | Transport::ShortPoll | Transport::JsonpPoll => {
                Self::Poll(Poller::default())
            }
            // All by name: a new transport needs a reader of its own.
            Transport::JsonWebSocket
            | Transport::MessagePackWebSocket
            | Transport::EnvelopeSse
            | Transport::JsonStream
            | Transport::MessagePackStream
            | Transport::EnvelopePoll
            | Transport::EnvelopeJsonp => Self::Session(Box::default()),
        }
    }
}

/// Waits for an answer.
pub(crate) async fn soon<T>(what: &str, answer: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.with_context(|| what.to_owned()),
        Err(_) => bail!("{what}: no answer"),
    }
}

/// Waits for the next thing on a connection that is never silent for long.
pub(crate) async fn unless_silent<T>(next: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(SILENCE, next).await {
        Ok(next) => next,
        Err(_) => bail!("silence"),
    }
}

/// Whether the broker said that the same would never succeed. A session that has ended is just that.
fn says_never(error: &str) -> bool {
    error.contains("\"retryable\":false") && !error.contains("session_not_found")
}
