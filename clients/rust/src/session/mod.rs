//! Sessions: many channels over one connection, joined, left and published to by commands.

mod channels;
mod command;
mod conversation;
mod join;
mod link;
mod one_way;
mod poll;
mod query;
mod websocket;

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use widecast_protocol::{ChannelName, Cursor, Position};

use self::command::Request;
pub(crate) use self::command::{Command, random_key};
pub(crate) use self::conversation::SessionConversation;
pub use self::join::{JoinChannel, Subscribed};
use crate::batch::Batch;
use crate::client::Client;
use crate::data::Data;
use crate::error::Error;
use crate::events::{Events, Places};
use crate::frame::Frame;
use crate::message::Member;
use crate::publish::{Publish, Way};
use crate::queue::queue;
use crate::read::{ReadHistory, members};
use crate::reconnect::{Conversation, run};
use crate::transport::Transport;

/// How many commands may wait to be taken up.
const COMMANDS: usize = 16;

/// A session that is about to be opened.
///
/// ```no_run
/// # async fn example(client: widecast_client::Client) -> Result<(), widecast_client::Error> {
/// use widecast_client::Event;
///
/// let (session, mut events) = client.session().connect().await?;
/// session.subscribe("news").await?;
/// session.publish("sports", &"1:0").await?;
/// while let Some(event) = events.next().await {
///     if let Event::Message(message) = event? {
///         println!("{}", message.json());
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a session is opened by `connect`"]
pub struct OpenSession {
    client: Client,
    transport: Transport,
    hears_own: bool,
    token: Option<String>,
}

impl OpenSession {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            transport: Transport::default(),
            hears_own: false,
            token: None,
        }
    }

    /// Sets the transport; a WebSocket if none is set.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Lets the session hear what its own client publishes.
    pub fn echo(mut self, hears_own: bool) -> Self {
        self.hears_own = hears_own;
        self
    }

    /// Shows the broker a token before anything else is asked for, each time that the session connects. A broker without authentication
    /// refuses every token with the code `unauthorized`.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Connects. The session lasts, over as many connections as it takes, until the [`Events`] are dropped.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub async fn connect(self) -> Result<(Session, Events), Error> {
        let (requests, waiting) = mpsc::channel(COMMANDS);
        let mut conversation = self.conversation(waiting);
        let (queue, reading) = queue();
        let link = conversation
            .connect(&queue)
            .await
            .map_err(|end| end.error)?;
        let task = tokio::spawn(run(conversation, link, queue));
        let events = Events::new(reading, Places::default(), task);
        Ok((Session { requests }, events))
    }

    /// The session before it is connected, with the commands that wait for it.
    pub(crate) fn conversation(self, waiting: mpsc::Receiver<Request>) -> SessionConversation {
        let http = Arc::clone(self.client.http());
        SessionConversation::new(http, self.transport, self.hears_own, self.token, waiting)
    }
}

/// A session: what it is told to do. What it hears comes by its [`Events`].
///
/// Commands are carried out one after the other. Those that a cut leaves without an answer are sent again over the next
/// connection; messages have a key that keeps them from being published twice. While events are not read, answers wait
/// behind them: await commands in another task than the one that reads, or read on meanwhile. Dropping the future of a
/// command leaves open whether it is carried out.
#[derive(Debug, Clone)]
pub struct Session {
    requests: mpsc::Sender<Request>,
}

impl Session {
    /// Joins a channel. Awaiting the [`JoinChannel`] asks for it.
    pub fn subscribe(&self, channel: &str) -> JoinChannel<'_> {
        JoinChannel::new(self, channel)
    }

    /// Leaves a channel: nothing of it is heard after the answer.
    ///
    /// # Errors
    /// When the session has not joined the channel, or is over.
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Error> {
        let channel = ChannelName::parse(channel).map_err(Error::BadName)?;
        let command = Command::about("unsubscribe", &channel);
        self.ask(command, 0).await.map(drop)
    }

    /// Shows the broker a new token in place of the one that the session was opened with, as
    /// [`Event::TokenRequired`](crate::Event::TokenRequired) asks for. Later connections of the session begin with it. Gives who the broker
    /// says the user is, if the token names one.
    ///
    /// # Errors
    /// When the broker does not take the token, and then the old one stays; or when the session is over.
    pub async fn authenticate(&self, token: &str) -> Result<Option<String>, Error> {
        let command = Command {
            token: Some(token.to_owned()),
            ..Command::new("authenticate")
        };
        Ok(self.ask(command, 0).await?.user)
    }

    /// Publishes any value that serde can write. Awaiting the [`Publish`] sends it.
    pub fn publish<T: Serialize + ?Sized>(&self, channel: &str, value: &T) -> Publish<'_> {
        Publish::new(Way::Session(self), channel, Data::of(value))
    }

    /// Publishes data that has a form already: text, bytes, JSON or MessagePack.
    pub fn publish_data(&self, channel: &str, data: Data) -> Publish<'_> {
        Publish::new(Way::Session(self), channel, Ok(data))
    }

    /// Publishes many messages with one command.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(Way::Session(self))
    }

    /// Asks for past messages of a channel. Awaiting the [`ReadHistory`] asks.
    pub fn history(&self, channel: &str) -> ReadHistory<'_> {
        ReadHistory::new(Way::Session(self), channel)
    }

    /// Asks who is present in a channel.
    ///
    /// # Errors
    /// When the broker refuses, or the session is over.
    pub async fn presence(&self, channel: &str) -> Result<Vec<Member>, Error> {
        members(Way::Session(self), channel).await
    }

    /// Sends a command, and waits for its answer.
    pub(crate) async fn ask(&self, command: Command, message_bytes: usize) -> Result<Frame, Error> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            command,
            message_bytes,
            reply,
        };
        let sent = self.requests.send(request).await;
        sent.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// A place in one channel, as a client hands it back.
pub(crate) fn place_in(channel: &ChannelName, cursor: &str) -> Result<Option<Position>, Error> {
    let cursor = Cursor::parse(cursor).map_err(Error::BadCursor)?;
    Ok(cursor.position(channel))
}
