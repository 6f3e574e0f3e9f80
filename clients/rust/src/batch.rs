//! Publishing many messages with one request.

use bytes::Bytes;
use hyper::{Method, header};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::data::Data;
use crate::error::{Error, Problem};
use crate::frame::Frame;
use crate::http::ANSWER_TIMEOUT;
use crate::publish::{Publish, Published, Way};
use crate::session::{Command, Session};

/// Many messages that are about to be published together.
///
/// A batch is no transaction: each of its messages is published or refused by itself, in order.
///
/// ```no_run
/// # async fn example(client: widecast_client::Client) -> Result<(), widecast_client::Error> {
/// let results = client
///     .batch()
///     .publish("news", &"hello")
///     .with(client.publish("sports", &1).event("goal"))
///     .send()
///     .await?;
/// for result in results {
///     println!("{:?}", result.map(|published| published.offset));
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a batch is published by `send`"]
pub struct Batch<'a> {
    way: Way<'a>,
    messages: Vec<Publish<'a>>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(way: Way<'a>) -> Self {
        let messages = Vec::new();
        Self { way, messages }
    }

    /// Adds a value for a channel.
    pub fn publish<T: Serialize + ?Sized>(self, channel: &str, value: &T) -> Self {
        let message = Publish::new(self.way, channel, Data::of(value));
        self.with(message)
    }

    /// Adds a message with all that it has.
    pub fn with(mut self, message: Publish<'a>) -> Self {
        self.messages.push(message);
        self
    }

    /// Publishes the messages. Each has its own result, in their order.
    ///
    /// # Errors
    /// When a message cannot be written, the broker cannot be reached, or refuses the batch as a whole. In all cases but the
    /// second nothing was published.
    pub async fn send(self) -> Result<Vec<Result<Published, Error>>, Error> {
        let way = self.way;
        let (mut messages, mut largest) = (Vec::new(), 0);
        for message in self.messages {
            let (publication, data) = message.checked()?;
            largest = largest.max(data.size_bytes());
            messages.push(Command::publish(publication, &data)?);
        }
        match way {
            Way::Http(client) => post(client, messages).await,
            Way::Session(session) => ask(session, messages, largest).await,
        }
    }
}

async fn ask(
    session: &Session,
    messages: Vec<Command>,
    largest: usize,
) -> Result<Vec<Result<Published, Error>>, Error> {
    let command = Command {
        messages: Some(messages),
        ..Command::new("batch")
    };
    let frame = session.ask(command, largest).await?;
    let results = frame.results.ok_or(NO_RESULTS)?;
    let result = |frame: Frame| {
        if frame.is("error") {
            return Err(Error::Refused(frame.into_refusal()));
        }
        Published::read(frame)
    };
    Ok(results.into_iter().map(result).collect())
}

/// The error that came instead of the results of a batch.
const NO_RESULTS: Error = Error::Protocol("a result for each message");

/// The body of a batch.
#[derive(Debug, Serialize)]
struct Body {
    messages: Vec<Command>,
}

/// The answer to a batch.
#[derive(Debug, Deserialize)]
struct BatchAnswer {
    results: Vec<MessageResult>,
}

/// The outcome of one message.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum MessageResult {
    Outcomes { channels: Vec<Outcome> },
    Failed { error: Problem },
}

/// The outcome of a message in one channel.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Outcome {
    Failed { error: Problem },
    Published(Published),
}

async fn post(
    client: &Client,
    messages: Vec<Command>,
) -> Result<Vec<Result<Published, Error>>, Error> {
    let http = client.http();
    let body = serde_json::to_vec(&Body { messages }).map_err(Error::Encode)?;
    let request = http
        .request(Method::POST, "/v1/publish")
        .header(header::CONTENT_TYPE, "application/json");
    let answer = http
        .whole(request, Bytes::from(body), ANSWER_TIMEOUT)
        .await?;
    let answer: BatchAnswer = serde_json::from_slice(&answer).map_err(|_| NO_RESULTS)?;
    let refused = |error: Problem| Err(Error::Refused(error.into()));
    let result = |result: MessageResult| match result {
        MessageResult::Failed { error } => refused(error),
        // Each message has one channel.
        MessageResult::Outcomes { channels } => match channels.into_iter().next() {
            Some(Outcome::Published(published)) => Ok(published),
            Some(Outcome::Failed { error }) => refused(error),
            None => Err(NO_RESULTS),
        },
    };
    Ok(answer.results.into_iter().map(result).collect())
}
