//! Publishing one message.

use std::future::IntoFuture;

use futures_util::future::BoxFuture;
use hyper::{Method, header};
use serde::{Deserialize, Serialize};
use widecast_protocol::{ChannelName, EventName, IdempotencyKey, MessageId};

use crate::address::encoded;
use crate::client::Client;
use crate::data::Data;
use crate::error::Error;
use crate::frame::Frame;
use crate::http::ANSWER_TIMEOUT;
use crate::session::{Command, Session};

/// The place that the broker gave a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Published {
    /// The channel.
    pub channel: String,
    /// The number of the message in the channel and epoch.
    pub offset: u64,
    /// The epoch of the number.
    pub epoch: String,
    /// How many subscribers the message was handed to. A session is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<u64>,
    /// Whether the idempotency key was used before. Then nothing was published, and the place is that of the first message.
    pub duplicate: bool,
}

impl Published {
    /// The place in the channel behind this message: where a subscription begins that is to hear all that follows.
    pub fn cursor(&self) -> String {
        format!("{}-{}", self.epoch, self.offset)
    }

    pub(crate) fn read(frame: Frame) -> Result<Self, Error> {
        let read = || {
            Some(Self {
                channel: frame.channel?,
                offset: frame.offset?,
                epoch: frame.epoch?,
                subscribers: None,
                duplicate: frame.duplicate?,
            })
        };
        read().ok_or(Error::Protocol("the place of a message"))
    }
}

/// Everything of a message but its data, checked.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) channel: ChannelName,
    pub(crate) event: Option<EventName>,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    pub(crate) message_id: Option<MessageId>,
}

/// How the request is sent: over HTTP, or by a session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way<'a> {
    Http(&'a Client),
    Session(&'a Session),
}

/// A message that is about to be published: awaiting it publishes it.
///
/// ```no_run
/// # async fn example(client: widecast_client::Client) -> Result<(), widecast_client::Error> {
/// let published = client.publish("news", &"hello").event("greeting").idempotency_key("k-1").await?;
/// println!("{}", published.cursor());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a message is published when this is awaited"]
pub struct Publish<'a> {
    way: Way<'a>,
    channel: String,
    data: Result<Data, Error>,
    event: Option<String>,
    idempotency_key: Option<String>,
    message_id: Option<String>,
}

impl<'a> Publish<'a> {
    pub(crate) fn new(way: Way<'a>, channel: &str, data: Result<Data, Error>) -> Self {
        Self {
            way,
            channel: channel.to_owned(),
            data,
            event: None,
            idempotency_key: None,
            message_id: None,
        }
    }

    /// Names the event, for subscribers that listen to some events only.
    pub fn event(mut self, name: &str) -> Self {
        self.event = Some(name.to_owned());
        self
    }

    /// Makes it harmless to publish the same message again within five minutes, for example after a failure.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.idempotency_key = Some(key.to_owned());
        self
    }

    /// Gives the message an id that all who receive it are shown. It is also its idempotency key, if it has no other.
    pub fn message_id(mut self, id: &str) -> Self {
        self.message_id = Some(id.to_owned());
        self
    }

    /// What is published, checked.
    pub(crate) fn checked(self) -> Result<(Publication, Data), Error> {
        let event = self.event.as_deref().map(EventName::parse).transpose();
        let key = self.idempotency_key.as_deref();
        let key = key.map(IdempotencyKey::parse).transpose();
        let id = self.message_id.as_deref().map(MessageId::parse).transpose();
        let publication = Publication {
            channel: ChannelName::parse(&self.channel).map_err(Error::BadName)?,
            event: event.map_err(Error::BadName)?,
            idempotency_key: key.map_err(Error::BadName)?,
            message_id: id.map_err(Error::BadName)?,
        };
        Ok((publication, self.data?))
    }

    async fn send(self) -> Result<Published, Error> {
        let way = self.way;
        let (publication, data) = self.checked()?;
        match way {
            Way::Http(client) => post(client, publication, &data).await,
            Way::Session(session) => {
                let bytes = data.size_bytes();
                let command = Command {
                    kind: Some("publish"),
                    ..Command::publish(publication, &data)?
                };
                Published::read(session.ask(command, bytes).await?)
            }
        }
    }
}

impl<'a> IntoFuture for Publish<'a> {
    type Output = Result<Published, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

async fn post(client: &Client, publication: Publication, data: &Data) -> Result<Published, Error> {
    let mut query = Vec::new();
    if let Some(event) = &publication.event {
        query.push(format!("event={}", encoded(event.as_str())));
    }
    if let Some(id) = &publication.message_id {
        query.push(format!("message_id={}", encoded(id.as_str())));
    }
    let mark = if query.is_empty() { "" } else { "?" };
    let channel = encoded(publication.channel.as_str());
    let path = format!("/channels/{channel}/messages{mark}{}", query.join("&"));
    let (body, media_type) = data.body();
    let http = client.http();
    let mut request = http
        .request(Method::POST, &path)
        .header(header::CONTENT_TYPE, media_type);
    if let Some(key) = &publication.idempotency_key {
        request = request.header("idempotency-key", key.as_str());
    }
    let answer = http.whole(request, body, ANSWER_TIMEOUT).await?;
    serde_json::from_slice(&answer).map_err(|_| Error::Protocol("the place of a message"))
}
