//! One subscriber over every transport and codec.

pub mod envelope;
pub mod event_stream;
pub mod lines;
pub mod link;
pub mod raw_poll;
pub mod raw_sse;
pub mod raw_stream;
pub mod raw_websocket;
pub mod script;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::broker::Broker;
use crate::deadline::within;
use crate::heard::{Heard, Message};
use crate::join::Join;
use crate::publisher::Publisher;

use self::envelope::Envelope;
use self::link::{Codec, Link};
use self::raw_poll::{PollKind, RawPoll};
use self::raw_sse::{Events, RawSse};
use self::raw_stream::RawStream;
use self::raw_websocket::{RawWebSocket, Texts};

/// A transport, and with what codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `new WebSocket(…)`: only the data.
    RawWebSocket,
    /// `new WebSocket("…?json")`: JSON in both directions.
    ValueWebSocket,
    /// `new WebSocket("…?json&format=message")`: message objects.
    ObjectWebSocket,
    /// Envelope frames in JSON over WebSocket.
    JsonWebSocket,
    /// Envelope frames in MessagePack over WebSocket.
    MessagePackWebSocket,
    /// `new EventSource(…)`.
    RawSse,
    /// `new EventSource("…?format=message")`: message objects.
    ObjectSse,
    /// Envelope frames over an event stream, commands by POST.
    EnvelopeSse,
    /// NDJSON lines of messages.
    RawStream,
    /// Envelope frames in NDJSON, commands by POST.
    JsonStream,
    /// Envelope frames in length-prefixed MessagePack, commands by POST.
    MessagePackStream,
    /// Polls that wait for a message.
    LongPoll,
    /// Polls that answer at once.
    ShortPoll,
    /// Polls answered with a script.
    JsonpPoll,
    /// Envelope frames fetched by polls, commands by POST.
    EnvelopePoll,
    /// Envelope frames and commands in scripts that are loaded.
    EnvelopeJsonp,
}

impl Transport {
    /// Every transport and codec.
    pub const ALL: [Self; 16] = [
        Self::RawWebSocket,
        Self::ValueWebSocket,
        Self::ObjectWebSocket,
        Self::JsonWebSocket,
        Self::MessagePackWebSocket,
        Self::RawSse,
        Self::ObjectSse,
        Self::EnvelopeSse,
        Self::RawStream,
        Self::JsonStream,
        Self::MessagePackStream,
        Self::LongPoll,
        Self::ShortPoll,
        Self::JsonpPoll,
        Self::EnvelopePoll,
        Self::EnvelopeJsonp,
    ];

    /// Whether it shows a message's place; the plain WebSockets show nothing but data.
    pub fn shows_more_than_data(self) -> bool {
        !matches!(self, Self::RawWebSocket | Self::ValueWebSocket)
    }

    /// Whether the connection itself publishes.
    pub fn sends(self) -> bool {
        self.has_frames() || self == Self::RawWebSocket
    }

    /// Whether the broker tells more than messages, such as a goodbye.
    pub fn has_frames(self) -> bool {
        self.is_envelope() || matches!(self, Self::ValueWebSocket | Self::ObjectWebSocket)
    }

    /// Whether what is heard comes by polls.
    pub fn polls(self) -> bool {
        matches!(
            self,
            Self::LongPoll
                | Self::ShortPoll
                | Self::JsonpPoll
                | Self::EnvelopePoll
                | Self::EnvelopeJsonp
        )
    }

    /// Whether it is answered scripts, which a namespace has to allow.
    pub fn loads_scripts(self) -> bool {
        matches!(self, Self::JsonpPoll | Self::EnvelopeJsonp)
    }

    /// Whether it speaks the envelope protocol.
    pub fn is_envelope(self) -> bool {
        matches!(
            self,
            Self::JsonWebSocket
                | Self::MessagePackWebSocket
                | Self::EnvelopeSse
                | Self::JsonStream
                | Self::MessagePackStream
                | Self::EnvelopePoll
                | Self::EnvelopeJsonp
        )
    }
}

/// A subscriber that has joined.
pub struct Subscriber {
    transport: Transport,
    publisher: Publisher,
    inner: Inner,
}

enum Inner {
    RawWebSocket(RawWebSocket),
    RawSse(RawSse),
    RawStream(RawStream),
    RawPoll(RawPoll),
    Envelope(Box<Envelope>),
}

impl Subscriber {
    /// Joins; what is published after this returns is heard.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn open(transport: Transport, broker: &Broker, join: &Join) -> Result<Self> {
        let poll = async |kind| RawPoll::open(broker, join, kind).await.map(Inner::RawPoll);
        let envelope = async |link: Result<Link>| {
            let envelope = Envelope::open(link?, join).await?;
            Ok(Inner::Envelope(Box::new(envelope)))
        };
        let endpoint = &broker.endpoint();
        let inner = match transport {
            Transport::RawWebSocket => RawWebSocket::open(broker, join, Texts::Plain)
                .await
                .map(Inner::RawWebSocket),
            Transport::ValueWebSocket => RawWebSocket::open(broker, join, Texts::Json)
                .await
                .map(Inner::RawWebSocket),
            Transport::ObjectWebSocket => RawWebSocket::open(broker, join, Texts::Objects)
                .await
                .map(Inner::RawWebSocket),
            Transport::RawSse => RawSse::open(broker, join, Events::Data)
                .await
                .map(Inner::RawSse),
            Transport::ObjectSse => RawSse::open(broker, join, Events::Objects)
                .await
                .map(Inner::RawSse),
            Transport::RawStream => RawStream::open(broker, join).await.map(Inner::RawStream),
            Transport::LongPoll => poll(PollKind::Long).await,
            Transport::ShortPoll => poll(PollKind::Short).await,
            Transport::JsonpPoll => poll(PollKind::Jsonp).await,
            Transport::JsonWebSocket => {
                envelope(Link::websocket(endpoint, join, Codec::Json).await).await
            }
            Transport::MessagePackWebSocket => {
                envelope(Link::websocket(endpoint, join, Codec::MessagePack).await).await
            }
            Transport::EnvelopeSse => envelope(Link::event_stream(endpoint, join).await).await,
            Transport::JsonStream => {
                envelope(Link::stream(endpoint, join, Codec::Json).await).await
            }
            Transport::MessagePackStream => {
                envelope(Link::stream(endpoint, join, Codec::MessagePack).await).await
            }
            Transport::EnvelopePoll => envelope(Ok(Link::poll(endpoint, join, Codec::Json))).await,
            Transport::EnvelopeJsonp => envelope(Ok(Link::jsonp(endpoint, join))).await,
        }?;
        let mut publisher = broker.publisher();
        if let Some(sender) = &join.sender {
            publisher = publisher.sender(sender);
        }
        Ok(Self {
            transport,
            publisher,
            inner,
        })
    }

    /// The transport.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What it hears next, whatever it is.
    ///
    /// # Errors
    /// When nothing comes in time, or what comes makes no sense.
    pub async fn next(&mut self) -> Result<Heard> {
        let what = format!("{:?} hears something", self.transport);
        within(&what, self.listen()).await
    }

    /// What it hears next, without a deadline. A call that is given up loses nothing.
    ///
    /// # Errors
    /// When what comes makes no sense.
    pub async fn listen(&mut self) -> Result<Heard> {
        match &mut self.inner {
            Inner::RawWebSocket(it) => it.next().await,
            Inner::RawSse(it) => it.next().await,
            Inner::RawStream(it) => it.next().await,
            Inner::RawPoll(it) => it.next().await,
            Inner::Envelope(it) => it.next().await,
        }
    }

    /// The next thing it hears, which must be a message.
    ///
    /// # Errors
    /// When it hears something else, or nothing in time.
    pub async fn message(&mut self) -> Result<Message> {
        match self.next().await? {
            Heard::Message(message) => Ok(message),
            other => bail!("{:?} heard {other:?} instead of a message", self.transport),
        }
    }

    /// The data of the next so many messages.
    ///
    /// # Errors
    /// When it hears something else, or not so many in time.
    pub async fn data(&mut self, count: usize) -> Result<Vec<Value>> {
        let mut heard = Vec::with_capacity(count);
        while heard.len() < count {
            let message = self.message().await;
            let message = message.with_context(|| format!("after {} messages", heard.len()))?;
            heard.push(message.data);
        }
        Ok(heard)
    }

    /// The next thing it hears, which must be the end.
    ///
    /// # Errors
    /// When it hears something else, or nothing in time.
    pub async fn closed(&mut self) -> Result<Option<u16>> {
        match self.next().await? {
            Heard::Closed { code, .. } => Ok(code),
            other => bail!("{:?} heard {other:?} instead of the end", self.transport),
        }
    }

    /// Publishes text as this subscriber: over its connection where that can carry it, else by POST with its sender key.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn publish(&mut self, channel: &str, text: &str) -> Result<()> {
        match &mut self.inner {
            Inner::RawWebSocket(it) => it.publish(text).await,
            Inner::Envelope(it) => it.publish(channel, text.into()).await.map(drop),
            _ => self.publisher.publish(channel, text).await.map(drop),
        }
    }

    /// Where it is, if the transport tells: hand it to [`Join::from`] to resume.
    pub fn cursor(&self) -> Option<String> {
        match &self.inner {
            Inner::RawWebSocket(it) => it.cursor(),
            Inner::RawSse(it) => it.cursor(),
            Inner::RawStream(it) => it.cursor(),
            Inner::RawPoll(it) => it.cursor(),
            Inner::Envelope(it) => it.cursor(),
        }
    }

    /// The envelope session, for its commands.
    ///
    /// # Errors
    /// When the transport is a raw one.
    pub fn envelope(&mut self) -> Result<&mut Envelope> {
        match &mut self.inner {
            Inner::Envelope(it) => Ok(it),
            _ => bail!("{:?} has no envelope", self.transport),
        }
    }

    /// Leaves in the way the transport has: a close frame, or the end of the connection.
    ///
    /// # Errors
    /// When the broker does not answer the close frame in time.
    pub async fn close(self) -> Result<()> {
        let closing = async {
            match self.inner {
                Inner::RawWebSocket(it) => it.close().await,
                Inner::Envelope(it) => it.close().await,
                Inner::RawSse(_) | Inner::RawStream(_) | Inner::RawPoll(_) => Ok(()),
            }
        };
        within("closing", closing).await
    }

    /// Vanishes without a word; a WebSocket's connection is reset.
    pub fn kill(self) {
        match self.inner {
            Inner::RawWebSocket(it) => it.kill(),
            Inner::Envelope(it) => it.kill(),
            Inner::RawSse(_) | Inner::RawStream(_) | Inner::RawPoll(_) => {}
        }
    }
}
