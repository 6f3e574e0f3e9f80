//! What a page has with `new WebSocket(url)`: text and bytes, nothing else.

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::address::address;
use crate::broker::Broker;
use crate::heard::{Heard, Message, binary, shown_as_text};
use crate::join::Join;
use crate::socket::{WebSocket, open_websocket, reset};

/// A plain WebSocket on one channel.
pub struct RawWebSocket {
    socket: WebSocket,
}

impl RawWebSocket {
    /// Joins.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn open(broker: &Broker, join: &Join) -> Result<Self> {
        let mut query = join.raw_query();
        query.extend(
            join.cursor
                .clone()
                .map(|cursor| ("cursor".to_owned(), cursor)),
        );
        let url = address(&broker.base(), &join.raw_path("ws"), &query)?;
        let (socket, _) = open_websocket(&url, &[]).await?;
        Ok(Self { socket })
    }

    /// The next message, or the end.
    ///
    /// # Errors
    /// When the broker breaks the protocol.
    pub async fn next(&mut self) -> Result<Heard> {
        loop {
            let data = match self.socket.next().await {
                Some(Ok(Frame::Text(text))) => shown_as_text(&text),
                Some(Ok(Frame::Binary(bytes))) => binary(&bytes),
                Some(Ok(Frame::Close(frame))) => return Ok(closed(&mut self.socket, frame).await),
                Some(Ok(_)) => continue,
                None | Some(Err(_)) => return Ok(Heard::end()),
            };
            return Ok(Heard::Message(Message::only(data)));
        }
    }

    /// Publishes text.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        Ok(self.socket.send(Frame::text(text)).await?)
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
