//! What a session is over its connections: which channels it has joined and how far it has heard them, and the commands
//! that are not answered yet. After a cut it joins every channel at its place, and sends these commands again.

use std::convert::Infallible;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use widecast_protocol::{ChannelName, Code, Position};

use super::channels::Channels;
use super::command::{Command, Request};
use super::link::Link;
use super::query::SessionQuery;
use crate::error::{Error, Refusal};
use crate::event::{Event, TokenRequired};
use crate::frame::Frame;
use crate::http::Http;
use crate::queue::{Item, Queue, ROOM_BYTES};
use crate::reconnect::{Conversation, End};
use crate::transport::Transport;

/// How many commands may wait for their answers.
const MAX_COMMANDS: usize = 256;
/// How many bytes of unread events may wait while a command is unanswered, because its answer comes after them.
const MOST_BYTES: usize = 16 * ROOM_BYTES;

/// The session of a client.
#[derive(Debug)]
pub(crate) struct SessionConversation {
    http: Arc<Http>,
    transport: Transport,
    hears_own: bool,
    token: Option<String>,
    channels: Channels,
    requests: mpsc::Receiver<Request>,
    /// The commands that are not answered yet, in order.
    unanswered: IndexMap<u64, Request>,
    /// The commands that join channels anew on this connection.
    joining: IndexMap<u64, ChannelName>,
    last_id: u64,
    /// The largest message that the broker takes.
    message_bytes: usize,
    /// Whether there was a connection already.
    has_been_connected: bool,
}

impl SessionConversation {
    pub(super) fn new(
        http: Arc<Http>,
        transport: Transport,
        hears_own: bool,
        token: Option<String>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        Self {
            http,
            transport,
            hears_own,
            token,
            channels: Channels::default(),
            requests,
            unanswered: IndexMap::new(),
            joining: IndexMap::new(),
            last_id: 0,
            message_bytes: usize::MAX,
            has_been_connected: false,
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Has a channel joined with the next connection.
    pub(crate) fn join_with_next(
        &mut self,
        channel: ChannelName,
        place: Option<Position>,
        presence: Option<Box<RawValue>>,
    ) {
        self.channels.add(channel, place, presence);
    }

    /// Where each channel began that the session has joined.
    pub(crate) fn starts(&self) -> IndexMap<ChannelName, Position> {
        self.channels.starts()
    }

    /// Asks for every channel at its place.
    fn join_all(&mut self, link: &Link) -> Result<(), End> {
        self.joining.clear();
        for command in self.channels.commands() {
            let id = self.next_id();
            let (channel, command) = command;
            let command = Command {
                id: Some(id),
                ..command
            };
            link.send(id, command.to_json())?;
            self.joining.insert(id, channel);
        }
        Ok(())
    }

    /// The answer to a command that joins a channel anew. A channel that is refused for good is left, unless there is nothing
    /// without it.
    fn rejoined(&mut self, channel: &ChannelName, frame: Frame, queue: &Queue) -> Result<(), End> {
        if !frame.is("error") {
            self.channels.rejoined(channel, frame, queue);
            return Ok(());
        }
        let error = Error::Refused(frame.into_refusal());
        let is_last = self.requests.is_closed() && self.channels.count() == 1;
        if error.is_retryable() || is_last || !self.has_been_connected {
            return Err(error.into());
        }
        self.channels.refused(channel, error, queue);
        Ok(())
    }

    /// Shows the token, before anything else is asked for.
    async fn authenticate(&mut self, link: &mut Link, queue: &Queue) -> Result<(), End> {
        let Some(token) = self.token.clone() else {
            return Ok(());
        };
        let id = self.next_id();
        let command = Command {
            id: Some(id),
            token: Some(token),
            cursor: self.channels.places_of_named(),
            ..Command::new("authenticate")
        };
        link.send(id, command.to_json())?;
        loop {
            let frame = link.next().await?;
            match frame.kind.as_deref() {
                Some("authenticated") => return Ok(()),
                Some("error") if frame.id == Some(id) => {
                    return Err(Error::Refused(frame.into_refusal()).into());
                }
                _ => self.take(frame, queue)?,
            }
        }
    }

    /// Sends a command that somebody waits for.
    fn ask(&mut self, request: Request, link: &Link) -> Result<(), End> {
        if request.reply.is_closed() {
            return Ok(());
        }
        if request.message_bytes > self.message_bytes {
            let reason = format!(
                "the message has {} bytes, the broker takes {}",
                request.message_bytes, self.message_bytes
            );
            let refusal = Refusal::foreseen(Code::MessageTooLarge, reason);
            // Nobody has to take the answer.
            let _ = request.reply.send(Err(Error::Refused(refusal)));
            return Ok(());
        }
        let id = self.next_id();
        let command = Command {
            id: Some(id),
            ..request.command
        };
        let text = command.to_json();
        self.unanswered.insert(id, Request { command, ..request });
        link.send(id, text)
    }

    /// Handles a frame. The error is the end of the connection, if the frame says so.
    fn take(&mut self, mut frame: Frame, queue: &Queue) -> Result<(), End> {
        let id = frame.id;
        if let Some(channel) = id.and_then(|id| self.joining.shift_remove(&id)) {
            return self.rejoined(&channel, frame, queue);
        }
        if let Some(request) = id.and_then(|id| self.unanswered.shift_remove(&id)) {
            let Request { command, reply, .. } = request;
            let answer = if frame.is("error") {
                Err(Error::Refused(frame.into_refusal()))
            } else {
                if frame.is("authenticated") {
                    // The next connections begin with it.
                    self.token.clone_from(&command.token);
                }
                self.channels.answered(command, &mut frame, queue);
                if !self.hears_own {
                    self.channels.published(&frame, queue);
                }
                Ok(frame)
            };
            // Nobody has to take the answer.
            let _ = reply.send(answer);
            return Ok(());
        }
        match frame.kind.as_deref() {
            Some("goodbye") => {
                let again_in = frame.again_in();
                let error = Error::Refused(frame.into_refusal());
                Err(End { error, again_in })
            }
            // The broker could not read what was sent: it would be the same the next time.
            Some("error") if id.is_none() => Err(Error::Refused(frame.into_refusal()).into()),
            Some("direct") => {
                queue.push(Item::here(Event::Direct(frame.into_direct()?)));
                Ok(())
            }
            Some("auth_required") => {
                let channel = frame.channel.clone();
                let reason = frame.into_refusal().reason;
                let event = Event::TokenRequired(TokenRequired { reason, channel });
                queue.push(Item::here(event));
                Ok(())
            }
            Some("unsubscribed") if self.requests.is_closed() && self.channels.count() == 1 => {
                Err(Error::Refused(frame.into_refusal()).into())
            }
            _ => Ok(self.channels.take(frame, queue)?),
        }
    }

    /// The answers to commands come behind events that are not read: more than may wait.
    fn give_up_commands(&mut self) {
        for (_, request) in self.unanswered.drain(..) {
            // Nobody has to take the answer.
            let _ = request.reply.send(Err(Error::EventsUnread));
        }
    }

    async fn listen(&mut self, link: &mut Link, queue: &Queue) -> Result<Infallible, End> {
        loop {
            let waiting = queue.bytes();
            if waiting >= MOST_BYTES {
                self.give_up_commands();
            }
            // Answers come behind events, so that more may wait of these while a command is not answered: whoever awaits the
            // answer may be the one who would read them.
            let has_room = waiting < ROOM_BYTES || !self.unanswered.is_empty();
            tokio::select! {
                frame = link.next(), if has_room => self.take(frame?, queue)?,
                () = queue.room(ROOM_BYTES), if !has_room => link.resume(),
                Some(request) = self.requests.recv(), if self.unanswered.len() < MAX_COMMANDS => {
                    self.ask(request, link)?;
                }
            }
        }
    }
}

impl Conversation for SessionConversation {
    type Connection = Link;

    async fn connect(&mut self, queue: &Queue) -> Result<Link, End> {
        let capacity = self.channels.count() + MAX_COMMANDS + 1;
        let query = SessionQuery {
            hears_own: self.hears_own,
            // The token of the client is shown with the address; that of the session brings the cursor with it.
            cursor: match &self.token {
                Some(_) => None,
                None => self.channels.places_of_named(),
            },
        };
        let mut link = Link::open(&self.http, self.transport, &query, capacity).await?;
        let limits = link.welcome.limits;
        let message_bytes = limits.and_then(|limits| limits.message_bytes);
        self.message_bytes = message_bytes.unwrap_or(usize::MAX);
        self.authenticate(&mut link, queue).await?;
        self.join_all(&link)?;
        for (_, request) in std::mem::take(&mut self.unanswered) {
            self.ask(request, &link)?;
        }
        while !self.joining.is_empty() {
            let frame = link.next().await?;
            self.take(frame, queue)?;
        }
        self.has_been_connected = true;
        Ok(link)
    }

    async fn converse(&mut self, mut link: Link, queue: &Queue) -> End {
        let Err(end) = self.listen(&mut link, queue).await;
        end
    }
}
