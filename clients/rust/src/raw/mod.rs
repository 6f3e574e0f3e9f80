//! Raw transports: one request names all channels, and its answer brings their messages. There are no frames and no
//! commands; a poll is a request like any other.

mod poll;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::http;
use widecast_protocol::{ChannelName, Cursor, Position};

pub(crate) use self::poll::POLL_PATIENCE;
use self::poll::Poll;
use crate::address::encoded;
use crate::error::Error;
use crate::event::{Event, Gap};
use crate::frame::Frame;
use crate::http::Http;
use crate::queue::{Item, Place, Queue, ROOM_BYTES};
use crate::reconnect::{Conversation, End};
use crate::stream::{ObjectStream, Piece};
use crate::transport::Transport;

/// What is listened to over raw transports, and how far it has been heard.
#[derive(Debug)]
pub(crate) struct Raw {
    http: Arc<Http>,
    transport: Transport,
    channels: Vec<ChannelName>,
    hears_own: bool,
    cursor: Option<String>,
}

/// A connection of a raw transport.
#[derive(Debug)]
pub(crate) enum RawConnection {
    Stream(ObjectStream),
    Poll(Poll),
}

impl Raw {
    pub(crate) fn new(
        http: Arc<Http>,
        transport: Transport,
        channels: Vec<ChannelName>,
        hears_own: bool,
        cursor: Option<String>,
    ) -> Self {
        Self {
            http,
            transport,
            channels,
            hears_own,
            cursor,
        }
    }

    /// The place in all channels, once there was a connection.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The place in one channel.
    pub(crate) fn position(&self, channel: &ChannelName) -> Option<Position> {
        let cursor = Cursor::parse(self.cursor.as_deref()?).ok()?;
        cursor.position(channel)
    }

    /// A request: one channel has its own path, several share one.
    fn request(&self, more: &[&str]) -> http::request::Builder {
        let transport = self.transport.path();
        let mut query: Vec<String> = more.iter().map(|&part| part.to_owned()).collect();
        let path = match self.channels.as_slice() {
            [channel] => format!("/channels/{}/{transport}", encoded(channel.as_str())),
            channels => {
                let names = channels.iter();
                query.extend(names.map(|name| format!("channel={}", encoded(name.as_str()))));
                format!("/v1/{transport}")
            }
        };
        if let Some(cursor) = &self.cursor {
            query.push(format!("cursor={}", encoded(cursor)));
        }
        if self.hears_own {
            query.push("echo=true".to_owned());
        }
        let mark = if query.is_empty() { "" } else { "?" };
        let path = format!("{path}{mark}{}", query.join("&"));
        self.http.get(&path, self.transport.accept())
    }

    async fn open_stream(&mut self) -> Result<ObjectStream, Error> {
        // A message object says which channel it is of, and tells a string from other JSON.
        let more: &[&str] = match self.transport {
            Transport::Sse => &["format=message"],
            _ => &[],
        };
        let stream = ObjectStream::open(&self.http, self.request(more), self.transport).await?;
        // The place to come back to after a cut before the first message.
        if self.cursor.is_none() {
            self.cursor = stream.cursor().map(str::to_owned);
        }
        Ok(stream)
    }

    /// Hands on what an object tells.
    fn take(&mut self, object: Frame, queue: &Queue) -> Result<(), Error> {
        let place = object.cursor.clone();
        let event = match object.kind.as_deref() {
            None if object.data.is_some() => Event::Message(object.into_message()?),
            Some("gap") => Event::Gap(object.into_gap()?),
            // Behind messages of the client's own.
            Some("cursor") => {
                if let Some(cursor) = place {
                    self.move_to(cursor, queue);
                }
                return Ok(());
            }
            // Types of a later version.
            _ => return Ok(()),
        };
        let cursor = place.ok_or(Error::Protocol("a message with its cursor"))?;
        self.cursor = Some(cursor.clone());
        queue.push(Item::at(event, Place::Whole(cursor)));
        Ok(())
    }

    /// Takes over a place that no event told.
    fn move_to(&mut self, cursor: String, queue: &Queue) {
        self.cursor = Some(cursor.clone());
        queue.move_to(Place::Whole(cursor));
    }

    async fn listen(&mut self, mut stream: ObjectStream, queue: &Queue) -> Result<Infallible, End> {
        loop {
            if queue.bytes() >= ROOM_BYTES {
                queue.room(ROOM_BYTES).await;
                stream.resume();
            }
            match stream.next().await? {
                Piece::Object(object) => {
                    let object = Frame::read(&object)?;
                    if object.kind.as_deref() == Some("goodbye") {
                        let again_in = object.again_in();
                        let error = Error::Refused(object.into_refusal());
                        return Err(End { error, again_in });
                    }
                    self.take(object, queue)?;
                }
                Piece::Place(cursor) => self.move_to(cursor, queue),
            }
        }
    }

    async fn poll(&mut self, mut poll: Poll, queue: &Queue) -> Result<Infallible, End> {
        loop {
            let answer = match poll.first.take() {
                Some(answer) => answer,
                None => Poll::ask(self).await?,
            };
            if !answer.recovered {
                let channel = match self.channels.as_slice() {
                    [channel] => Some(channel.to_string()),
                    _ => None,
                };
                let gap = Gap {
                    channel,
                    cursor: answer.cursor.clone(),
                };
                queue.push(Item::here(Event::Gap(gap)));
            }
            for message in answer.messages {
                self.take(message, queue)?;
            }
            self.move_to(answer.cursor, queue);
            queue.room(ROOM_BYTES).await;
        }
    }
}

impl Conversation for Raw {
    type Connection = RawConnection;

    async fn connect(&mut self, _: &Queue) -> Result<RawConnection, End> {
        Ok(match self.transport {
            Transport::LongPoll => RawConnection::Poll(Poll::begin(self).await?),
            _ => RawConnection::Stream(self.open_stream().await?),
        })
    }

    async fn converse(&mut self, connection: RawConnection, queue: &Queue) -> End {
        let Err(end) = match connection {
            RawConnection::Stream(stream) => self.listen(stream, queue).await,
            RawConnection::Poll(poll) => self.poll(poll, queue).await,
        };
        end
    }
}
