//! What a program has with a plain WebSocket: it counts from the cursor in the head of the answer.

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use widecast_tests::address::address;
use widecast_tests::heard::binary;
use widecast_tests::socket::open_websocket;

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
        let cursor = from.map(|place| ("cursor".to_owned(), place.to_string()));
        let query = full_query(it, cursor.into_iter().collect());
        let url = address(&it.endpoint.base, &path(it, "ws"), &query)?;
        let (mut socket, headers) = soon("the handshake", open_websocket(&url, &[])).await?;
        let cursor = cursor_header(&headers).context("no Widecast-Cursor")?;
        let mut place = it.given("header", &cursor)?.remove(&channel);
        self.place.clone_from(&place);
        loop {
            let frame = unless_silent(async { Ok(socket.next().await) }).await?;
            let shown = match frame {
                Some(Ok(Frame::Text(text))) => Shown::Text(text.to_string()),
                Some(Ok(Frame::Binary(bytes))) => Shown::Value(binary(&bytes)),
                Some(Ok(Frame::Close(close))) => {
                    if close.as_ref().is_some_and(|close| close.code == GAP) {
                        self.place = None;
                        it.log.tell(Told::Gap {
                            channel: Some(channel),
                            upto: None,
                            on_resume: true,
                        });
                    }
                    // The broker may be gone already.
                    let _ = soon("the close", async { Ok(socket.flush().await?) }).await;
                    return Ok(format!("{close:?}"));
                }
                Some(Ok(_)) => continue,
                None => return Ok("the end".to_owned()),
                Some(Err(error)) => return Ok(error.to_string()),
            };
            place = place.map(|place| place.behind(1));
            self.place.clone_from(&place);
            let event = it.catalog.event_of(&shown);
            let told = it
                .catalog
                .heard(&shown, event.as_deref(), |_| place.clone());
            it.log.tell(told);
        }
    }
}
