//! What a program has with a plain WebSocket: it counts from the cursor in the head of the answer.

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use widecast_tests::Transport;
use widecast_tests::address::address;
use widecast_tests::heard::binary;
use widecast_tests::socket::{WebSocket, open_websocket};

use crate::log::Told;
use crate::payload::Shown;
use crate::place::Place;

use super::http::{cursor_header, full_query, path};
use super::{Subscriber, soon, unless_silent};

/// The close code that tells a gap.
const GAP: CloseCode = CloseCode::Library(4410);

/// A plain WebSocket, and where it is.
#[derive(Default)]
pub(super) struct RawSocket {
    place: Option<Place>,
}

impl RawSocket {
    pub(super) async fn connection(&mut self, it: &mut Subscriber) -> Result<String> {
        let channel = it.spec.channels.first().context("no channel")?.clone();
        let from = self.place.as_ref();
        let places = from.map(|place| [(channel.clone(), place.clone())].into());
        it.asked("a raw WebSocket", places);
        let json = it.spec.transport == Transport::ValueWebSocket;
        let cursor = from.map(|place| ("cursor".to_owned(), place.to_string()));
        let json = json.then(|| ("json".to_owned(), String::new()));
        let query = full_query(it, cursor.into_iter().chain(json.clone()).collect());
        let url = address(&it.endpoint.base, &path(it, "ws"), &query)?;
        let (mut socket, headers) = soon("the handshake", open_websocket(&url, &[])).await?;
        let cursor = cursor_header(&headers).context("no Widecast-Cursor")?;
        self.place = it.given("header", &cursor)?.remove(&channel);
        loop {
            let frame = unless_silent(async { Ok(socket.next().await) }).await?;
            match frame {
                Some(Ok(Frame::Text(text))) if json.is_some() => {
                    let value = serde_json::from_str(&text).with_context(|| text.to_string())?;
                    self.value(it, &channel, value)?;
                }
                Some(Ok(Frame::Text(text))) => self.message(it, &Shown::Text(text.to_string())),
                Some(Ok(Frame::Binary(bytes))) => self.message(it, &Shown::Value(binary(&bytes))),
                Some(Ok(Frame::Close(close))) => {
                    return Ok(self.closed(it, &mut socket, close.as_ref()).await);
                }
                Some(Ok(_)) => {}
                None => return Ok("the end".to_owned()),
                Some(Err(error)) => return Ok(error.to_string()),
            }
        }
    }

    /// A value in JSON, or what is told beside the values; what is published here has no `type`.
    fn value(&mut self, it: &Subscriber, channel: &str, value: Value) -> Result<()> {
        match value["type"].as_str() {
            None => self.message(it, &Shown::Value(value)),
            Some("gap") => {
                let cursor = value["cursor"].as_str().unwrap_or_default();
                it.gap(channel, Some(cursor))?;
                self.place = Some(Place::read(cursor)?);
            }
            Some("goodbye") => {}
            Some(_) => it.strange(format!("the object {value}")),
        }
        Ok(())
    }

    fn message(&mut self, it: &Subscriber, shown: &Shown) {
        self.place = self.place.as_ref().map(|place| place.behind(1));
        let event = it.catalog.event_of(shown);
        let place = self.place.clone();
        it.log
            .tell(it.catalog.heard(shown, event.as_deref(), |_| place));
    }

    async fn closed(
        &mut self,
        it: &Subscriber,
        socket: &mut WebSocket,
        close: Option<&CloseFrame>,
    ) -> String {
        if close.is_some_and(|close| close.code == GAP) {
            self.place = None;
            it.log.tell(Told::Gap {
                channel: it.spec.channels.first().cloned(),
                upto: None,
                on_resume: true,
            });
        }
        // The broker may be gone already.
        let _ = soon("the close", async { Ok(socket.flush().await?) }).await;
        format!("{close:?}")
    }
}
