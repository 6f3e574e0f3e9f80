//! How the frames of an envelope session travel.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::event_stream::EventStream;
use super::lines::Lines;
use super::raw_websocket::{close, closed};
use super::script::{CALLBACK, argument_of};
use crate::address::address;
use crate::broker::{Answer, Endpoint};
use crate::heard::Heard;
use crate::join::Join;
use crate::message_pack;
use crate::socket::{WebSocket, open_websocket, reset};

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As JSON.
    Json,
    /// As MessagePack.
    MessagePack,
}

impl Codec {
    fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "widecast.v1.json",
            Self::MessagePack => "widecast.v1.msgpack",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }

    fn encode(self, value: &Value) -> Result<Vec<u8>> {
        match self {
            Self::Json => Ok(serde_json::to_vec(value)?),
            Self::MessagePack => message_pack::encode(value),
        }
    }
}

/// The connection of an envelope session.
pub struct Link {
    way: Way,
    codec: Codec,
    http: reqwest::Client,
    base: String,
    /// The session's name, once it is known.
    session: Option<String>,
}

enum Way {
    WebSocket(Box<WebSocket>),
    Events(EventStream),
    Lines(Lines),
    Poll(Box<Polling>),
}

/// How the answers to polls and commands are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    Plain,
    Scripts,
}

struct Polling {
    answers: Answers,
    query: Vec<(String, String)>,
    cursor: Option<String>,
    frames: VecDeque<Value>,
}

/// What comes over a link.
pub enum Arrival {
    /// A frame.
    Frame(Value),
    /// The end.
    End(Heard),
}

impl Link {
    fn new(endpoint: &Endpoint, way: Way, codec: Codec) -> Self {
        Self {
            way,
            codec,
            http: endpoint.http.clone(),
            base: endpoint.base.clone(),
            session: None,
        }
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    /// When the broker refuses, or does not choose the subprotocol.
    pub async fn websocket(endpoint: &Endpoint, join: &Join, codec: Codec) -> Result<Self> {
        let url = address(&endpoint.base, &["v1", "ws"], &join.identity())?;
        let name = codec.subprotocol();
        let (socket, headers) = open_websocket(&url, &[("sec-websocket-protocol", name)]).await?;
        let chosen = headers.get("sec-websocket-protocol");
        if chosen.is_none_or(|chosen| chosen != name) {
            bail!("asked for {name}, got {chosen:?}");
        }
        Ok(Self::new(endpoint, Way::WebSocket(Box::new(socket)), codec))
    }

    /// Opens an event stream.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn event_stream(endpoint: &Endpoint, join: &Join) -> Result<Self> {
        let response = open_stream(endpoint, join, "sse", "text/event-stream").await?;
        let way = Way::Events(EventStream::new(response));
        Ok(Self::new(endpoint, way, Codec::Json))
    }

    /// Opens a stream of lines or of length-prefixed pieces.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn stream(endpoint: &Endpoint, join: &Join, codec: Codec) -> Result<Self> {
        let accept = match codec {
            Codec::Json => "application/x-ndjson",
            Codec::MessagePack => "application/msgpack",
        };
        let response = open_stream(endpoint, join, "stream", accept).await?;
        Ok(Self::new(endpoint, Way::Lines(Lines::new(response)), codec))
    }

    /// Prepares polls; the first one opens the session.
    pub fn poll(endpoint: &Endpoint, join: &Join, codec: Codec) -> Self {
        let mut it = Self::polling(endpoint, join, Answers::Plain);
        it.codec = codec;
        it
    }

    /// Prepares polls that are answered by scripts.
    pub fn jsonp(endpoint: &Endpoint, join: &Join) -> Self {
        Self::polling(endpoint, join, Answers::Scripts)
    }

    fn polling(endpoint: &Endpoint, join: &Join, answers: Answers) -> Self {
        let polling = Polling {
            answers,
            query: join.identity(),
            cursor: None,
            frames: VecDeque::new(),
        };
        Self::new(endpoint, Way::Poll(Box::new(polling)), Codec::Json)
    }

    /// Tells the session's name, which commands by POST need.
    pub fn set_session(&mut self, session: &str) {
        self.session = Some(session.to_owned());
    }

    /// The next frame, or the end. A call that is given up loses nothing.
    ///
    /// # Errors
    /// When what comes is not a frame.
    pub async fn next(&mut self) -> Result<Arrival> {
        let frame = match &mut self.way {
            Way::WebSocket(socket) => return next_of_websocket(socket).await,
            Way::Events(events) => next_of_events(events).await?,
            Way::Lines(lines) if self.codec == Codec::Json => next_of_lines(lines).await?,
            Way::Lines(pieces) => match pieces.next_piece().await {
                Some(piece) if piece.is_empty() => return Box::pin(self.next()).await,
                Some(piece) => Some(message_pack::decode(&piece)?),
                None => None,
            },
            Way::Poll(polling) => {
                while polling.frames.is_empty() {
                    let request =
                        polling.request(&self.http, &self.base, self.session.as_deref())?;
                    let request = match self.codec {
                        Codec::Json => request,
                        Codec::MessagePack => request.header("accept", self.codec.content_type()),
                    };
                    polling.take(&Answer::read(request.send().await?).await?)?;
                }
                polling.frames.pop_front()
            }
        };
        Ok(frame.map_or_else(|| Arrival::End(Heard::end()), Arrival::Frame))
    }

    /// Sends commands; gives the replies that come in the answer to a POST.
    ///
    /// # Errors
    /// When the broker does not take them.
    pub async fn send(&mut self, commands: &Value) -> Result<Vec<Value>> {
        let body = self.codec.encode(commands)?;
        match &mut self.way {
            Way::WebSocket(socket) => {
                let frame = match self.codec {
                    Codec::Json => Frame::text(String::from_utf8(body)?),
                    Codec::MessagePack => Frame::binary(body),
                };
                socket.send(frame).await?;
                return Ok(Vec::new());
            }
            Way::Events(_) | Way::Lines(_) | Way::Poll(_) => {}
        }
        let session = self.session.as_deref().context("no session yet")?;
        let mut url = address(&self.base, &["v1", "sessions", session, "commands"], &[])?;
        if matches!(&self.way, Way::Poll(polling) if polling.answers == Answers::Scripts) {
            let query = [
                ("callback", CALLBACK),
                ("commands", &String::from_utf8(body)?),
            ];
            url.query_pairs_mut().extend_pairs(query);
            let script = self.http.get(url).send().await?.text().await?;
            argument_of(&script, CALLBACK)?;
            return Ok(Vec::new());
        }
        let request = self
            .http
            .post(url)
            .header("content-type", self.codec.content_type());
        let answer = Answer::read(request.body(body).send().await?).await?;
        match (answer.status, answer.body) {
            (200..=299, Value::Array(frames)) => Ok(frames),
            (200..=299, frame @ Value::Object(_)) => Ok(vec![frame]),
            (200..=299, _) => Ok(Vec::new()),
            (status, body) => bail!("{status}: {body}"),
        }
    }

    /// Ends the connection as the transport does it.
    ///
    /// # Errors
    /// When the broker does not answer a close frame.
    pub async fn close(self) -> Result<()> {
        match self.way {
            Way::WebSocket(socket) => close(*socket).await,
            Way::Events(_) | Way::Lines(_) | Way::Poll(_) => Ok(()),
        }
    }

    /// Resets a WebSocket, drops anything else.
    pub fn kill(self) {
        if let Way::WebSocket(socket) = self.way {
            reset(socket.get_ref());
        }
    }
}

impl Polling {
    fn request(
        &self,
        http: &reqwest::Client,
        base: &str,
        session: Option<&str>,
    ) -> Result<RequestBuilder> {
        let mut query = vec![("session".to_owned(), session.unwrap_or("new").to_owned())];
        query.extend(self.query.iter().cloned());
        if let Some(cursor) = &self.cursor {
            query.push(("cursor".to_owned(), cursor.clone()));
        }
        if self.answers == Answers::Scripts {
            query.push(("callback".to_owned(), CALLBACK.to_owned()));
        }
        Ok(http.get(address(base, &["v1", "poll"], &query)?))
    }

    fn take(&mut self, answer: &Answer) -> Result<()> {
        let body = match (self.answers, &answer.body) {
            (Answers::Scripts, Value::String(script)) => &argument_of(script, CALLBACK)?,
            (_, body) => body,
        };
        let cursor = body["cursor"].as_str();
        let frames = body["frames"].as_array();
        let (200, Some(cursor), Some(frames)) = (answer.status, cursor, frames) else {
            bail!("not the answer to a poll: {answer:?}");
        };
        self.cursor = Some(cursor.to_owned());
        self.frames.extend(frames.iter().cloned());
        Ok(())
    }
}

async fn open_stream(
    endpoint: &Endpoint,
    join: &Join,
    name: &str,
    accept: &str,
) -> Result<reqwest::Response> {
    let mut query = vec![("session".to_owned(), "new".to_owned())];
    query.extend(join.identity());
    let url = address(&endpoint.base, &["v1", name], &query)?;
    let response = endpoint
        .http
        .get(url)
        .header("accept", accept)
        .send()
        .await?;
    let status = response.status();
    if status != 200 {
        bail!("{status}: {}", response.text().await?);
    }
    Ok(response)
}

async fn next_of_websocket(socket: &mut WebSocket) -> Result<Arrival> {
    loop {
        let value = match socket.next().await {
            Some(Ok(Frame::Text(text))) => {
                serde_json::from_str(&text).with_context(|| text.to_string())?
            }
            Some(Ok(Frame::Binary(bytes))) => message_pack::decode(&bytes)?,
            Some(Ok(Frame::Close(frame))) => return Ok(Arrival::End(closed(socket, frame).await)),
            Some(Ok(_)) => continue,
            None | Some(Err(_)) => return Ok(Arrival::End(Heard::end())),
        };
        return Ok(Arrival::Frame(value));
    }
}

async fn next_of_events(events: &mut EventStream) -> Result<Option<Value>> {
    while let Some(block) = events.next().await? {
        if let Some(data) = block.data {
            return Ok(Some(serde_json::from_str(&data).context(data)?));
        }
    }
    Ok(None)
}

async fn next_of_lines(lines: &mut Lines) -> Result<Option<Value>> {
    while let Some(line) = lines.next().await? {
        if !line.is_empty() {
            return Ok(Some(serde_json::from_str(&line).context(line)?));
        }
    }
    Ok(None)
}
