//! What a page has with `new WebSocket(url)`: text and bytes, nothing else.

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::address::address;
use crate::broker::Broker;
use crate::heard::{Heard, Message, binary, plain_numbers, shown_as_text};
use crate::join::Join;
use crate::socket::{WebSocket, open_websocket, reset};

/// What the texts of a plain WebSocket are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// The values themselves.
    Plain,
    /// The JSON of values.
    Json,
    /// The JSON of values that are sent, and of message objects that are heard.
    Objects,
}

/// A plain WebSocket on one channel.
pub struct RawWebSocket {
    socket: WebSocket,
    texts: Texts,
    cursor: Option<String>,
}

impl RawWebSocket {
    /// Joins.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn open(broker: &Broker, join: &Join, texts: Texts) -> Result<Self> {
        let mut query = join.raw_query();
        if texts != Texts::Plain {
            query.push(("json".to_owned(), String::new()));
        }
        if texts == Texts::Objects {
            query.push(("format".to_owned(), "message".to_owned()));
        }
        if let Some(presence) = &join.presence {
            query.push(("presence".to_owned(), presence.to_string()));
        }
        query.extend(
            join.cursor
                .clone()
                .map(|cursor| ("cursor".to_owned(), cursor)),
        );
        let url = address(&broker.base(), &join.raw_path("ws"), &query)?;
        let (socket, _) = open_websocket(&url, &[]).await?;
        let mut it = Self {
            socket,
            texts,
            cursor: None,
        };
        if texts == Texts::Objects {
            // It begins with where it is.
            match it.next().await? {
                Heard::Frame(frame) if frame["type"] == "subscribed" => {}
                other => bail!("{other:?} instead of the beginning"),
            }
        }
        Ok(it)
    }

    /// The next message, or the end.
    ///
    /// # Errors
    /// When the broker breaks the protocol.
    pub async fn next(&mut self) -> Result<Heard> {
        loop {
            let data = match self.socket.next().await {
                Some(Ok(Frame::Text(text))) if self.texts == Texts::Json => {
                    return value_heard(&text);
                }
                Some(Ok(Frame::Text(text))) if self.texts == Texts::Objects => {
                    let object: Value = serde_json::from_str(&text)?;
                    if let Some(cursor) = object["cursor"].as_str() {
                        self.cursor = Some(cursor.to_owned());
                    }
                    return Heard::from_object(object);
                }
                Some(Ok(Frame::Text(text))) => shown_as_text(&text),
                Some(Ok(Frame::Binary(bytes))) => binary(&bytes),
                Some(Ok(Frame::Close(frame))) => return Ok(closed(&mut self.socket, frame).await),
                Some(Ok(_)) => continue,
                None | Some(Err(_)) => return Ok(Heard::end()),
            };
            return Ok(Heard::Message(Message::only(data)));
        }
    }

    /// Publishes a string.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn publish(&mut self, text: &str) -> Result<()> {
        match self.texts {
            Texts::Plain => self.send_text(text).await,
            Texts::Json | Texts::Objects => self.send_text(&json!(text).to_string()).await,
        }
    }

    /// Sends a text as it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        Ok(self.socket.send(Frame::text(text)).await?)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.send(Frame::binary(bytes.to_vec())).await?)
    }

    /// Where it is, if it is told.
    pub fn cursor(&self) -> Option<String> {
        self.cursor.clone()
    }

    /// Sends a close frame and waits for the broker's.
    ///
    /// # Errors
    /// When the connection breaks instead.
    pub async fn close(self) -> Result<()> {
        close(self.socket).await
    }

    /// Resets the connection.
    pub fn kill(self) {
        reset(self.socket.get_ref());
    }
}

/// What the broker says besides values.
const FRAMES: [&str; 8] = [
    "gap", "pong", "error", "goodbye", "join", "leave", "presence", "batch",
];

/// What a text of JSON says: a value, or something that is none.
fn value_heard(text: &str) -> Result<Heard> {
    let value: Value = serde_json::from_str(text).with_context(|| text.to_owned())?;
    let channel = || value["channel"].as_str().map(str::to_owned);
    Ok(match value["type"].as_str() {
        Some("gap") if value["recovered"] == false => Heard::Gap { channel: channel() },
        Some(kind) if FRAMES.contains(&kind) => Heard::Frame(value),
        _ => Heard::Message(Message::only(plain_numbers(value))),
    })
}

/// What a close frame says; answers it.
pub(super) async fn closed(socket: &mut WebSocket, frame: Option<CloseFrame>) -> Heard {
    // The answer was made when the frame was read and goes out with the next flush; the broker may be gone already.
    let _ = socket.flush().await;
    Heard::Closed {
        code: frame.as_ref().map(|frame| frame.code.into()),
        reason: frame
            .map(|frame| frame.reason.to_string())
            .unwrap_or_default(),
    }
}

/// Sends a close frame and reads until the broker has answered it.
pub(super) async fn close(mut socket: WebSocket) -> Result<()> {
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}
