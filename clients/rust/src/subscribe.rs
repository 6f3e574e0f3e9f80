//! Subscribing to channels.

use std::sync::Arc;

use indexmap::IndexSet;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use widecast_protocol::{ChannelName, Cursor};

use crate::client::Client;
use crate::data::Data;
use crate::error::Error;
use crate::events::{Events, Places};
use crate::past;
use crate::queue::queue;
use crate::raw::Raw;
use crate::reconnect::{Conversation, run};
use crate::session::OpenSession;
use crate::transport::Transport;

/// A subscription that is about to be made.
///
/// ```no_run
/// # async fn example(client: widecast_client::Client) -> Result<(), widecast_client::Error> {
/// use widecast_client::{Event, Transport};
///
/// let mut events = client
///     .subscribe(["news", "sports"])
///     .transport(Transport::Sse)
///     .history(10)
///     .connect()
///     .await?;
/// while let Some(event) = events.next().await {
///     match event? {
///         Event::Message(message) => println!("{}: {}", message.channel, message.json()),
///         Event::Gap(gap) => eprintln!("messages were lost before {}", gap.cursor),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a subscription is made by `connect`"]
pub struct Subscribe {
    client: Client,
    channels: Vec<String>,
    transport: Transport,
    cursor: Option<String>,
    history: Option<u32>,
    hears_own: bool,
    presence: Option<Result<Box<RawValue>, Error>>,
}

/// What is subscribed to, checked.
struct Checked {
    channels: Vec<ChannelName>,
    cursor: Option<Cursor>,
    presence: Option<Box<RawValue>>,
}

impl Subscribe {
    pub(crate) fn new<C: AsRef<str>>(
        client: Client,
        channels: impl IntoIterator<Item = C>,
    ) -> Self {
        let channels = channels.into_iter();
        Self {
            client,
            channels: channels.map(|name| name.as_ref().to_owned()).collect(),
            transport: Transport::default(),
            cursor: None,
            history: None,
            hears_own: false,
            presence: None,
        }
    }

    /// Sets the transport; a WebSocket if none is set.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Begins behind this place, as [`Events::cursor`] gave it, and not with what is published from now on.
    pub fn cursor(mut self, cursor: &str) -> Self {
        self.cursor = Some(cursor.to_owned());
        self
    }

    /// Hears the newest messages of each channel first, so many at the most, in the order in which they were published. It has no
    /// effect beside a cursor. The broker gives no more than `limits.messages_per_history` of each channel.
    pub fn history(mut self, messages: u32) -> Self {
        self.history = Some(messages);
        self
    }

    /// Hears what the client itself publishes, too.
    pub fn echo(mut self, hears_own: bool) -> Self {
        self.hears_own = hears_own;
        self
    }

    /// Lists the client as a member of each channel that says this of itself, and hears who comes and goes.
    pub fn presence<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        self.presence = Some(Data::of(value).and_then(|data| data.to_json()));
        self
    }

    /// Connects. From then on every message is heard, or a gap is told, until the [`Events`] are dropped.
    ///
    /// # Errors
    /// When a name or the cursor cannot be used, or the broker cannot be reached or refuses.
    pub async fn connect(mut self) -> Result<Events, Error> {
        let checked = self.checked()?;
        if self.transport == Transport::WebSocket || checked.presence.is_some() {
            self.open_session(checked).await
        } else {
            self.open_raw(checked).await
        }
    }

    fn checked(&mut self) -> Result<Checked, Error> {
        let names = self.channels.iter().map(|name| ChannelName::parse(name));
        let channels: Result<IndexSet<_>, _> = names.collect();
        let cursor = self.cursor.as_deref().map(Cursor::parse).transpose();
        let checked = Checked {
            channels: channels.map_err(Error::BadName)?.into_iter().collect(),
            cursor: cursor.map_err(Error::BadCursor)?,
            presence: self.presence.take().transpose()?,
        };
        if checked.channels.is_empty() {
            return Err(Error::NoChannel);
        }
        Ok(checked)
    }

    /// How much of the past is to be heard first.
    fn past(&self) -> Option<u32> {
        self.history.filter(|_| self.cursor.is_none())
    }

    async fn open_raw(self, checked: Checked) -> Result<Events, Error> {
        let http = Arc::clone(self.client.http());
        let cursor = checked.cursor.map(|cursor| cursor.to_string());
        let Checked { channels, .. } = checked;
        let mut raw = Raw::new(
            http,
            self.transport,
            channels.clone(),
            self.hears_own,
            cursor,
        );
        let (queue, reading) = queue();
        let connection = raw.connect(&queue).await.map_err(|end| end.error)?;
        let places = Places {
            whole: raw.cursor().map(str::to_owned),
            ..Places::default()
        };
        if let Some(limit) = self.past() {
            let starts = channels
                .into_iter()
                .map(|name| {
                    let start = raw.position(&name);
                    (name, start)
                })
                .collect();
            past::read(&self.client, starts, limit, &queue).await?;
        }
        let task = tokio::spawn(run(raw, connection, queue));
        Ok(Events::new(reading, places, task))
    }

    async fn open_session(self, checked: Checked) -> Result<Events, Error> {
        let past = self.past();
        let (_, no_commands) = mpsc::channel(1);
        let session = OpenSession::new(self.client.clone());
        let session = session.transport(self.transport).echo(self.hears_own);
        let mut session = session.conversation(no_commands);
        for channel in &checked.channels {
            let place = checked.cursor.as_ref();
            let place = place.and_then(|cursor| cursor.position(channel));
            session.join_with_next(channel.clone(), place, checked.presence.clone());
        }
        let (queue, reading) = queue();
        let link = session.connect(&queue).await.map_err(|end| end.error)?;
        let places = Places {
            channels: session.starts(),
            ..Places::default()
        };
        if let Some(limit) = past {
            let starts = places.channels.iter();
            let starts = starts.map(|(name, &start)| (name.clone(), Some(start)));
            past::read(&self.client, starts.collect(), limit, &queue).await?;
        }
        let task = tokio::spawn(run(session, link, queue));
        Ok(Events::new(reading, places, task))
    }
}
