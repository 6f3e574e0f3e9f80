//! What a page has with a plain WebSocket of message objects: it resumes from the cursor of the last.

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message as Frame;
use widecast_tests::address::address;
use widecast_tests::socket::open_websocket;

use super::http::{full_query, path};
use super::lines::LineReader;
use super::{Subscriber, soon, unless_silent};

/// A WebSocket of message objects.
#[derive(Default)]
pub(super) struct ObjectSocket {
    objects: LineReader,
}

impl ObjectSocket {
    pub(super) async fn connection(&mut self, it: &mut Subscriber) -> Result<String> {
        let cursor = self.objects.cursor.as_deref();
        let from = cursor.map(|cursor| it.read(cursor)).transpose()?;
        it.asked("a WebSocket of objects", from);
        let mut query = vec![
            ("json".to_owned(), String::new()),
            ("format".to_owned(), "message".to_owned()),
        ];
        query.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.to_owned())));
        let query = full_query(it, query);
        let url = address(&it.endpoint.base, &path(it, "ws"), &query)?;
        let (mut socket, _) = soon("the handshake", open_websocket(&url, &[])).await?;
        loop {
            match unless_silent(async { Ok(socket.next().await) }).await? {
                Some(Ok(Frame::Text(text))) => self.objects.take(it, "object", &text)?,
                Some(Ok(Frame::Binary(_))) => bail!("bytes among objects"),
                Some(Ok(Frame::Close(close))) => {
                    // The broker may be gone already.
                    let _ = soon("the close", async { Ok(socket.flush().await?) }).await;
                    return Ok(format!("{close:?}"));
                }
                Some(Ok(_)) => {}
                None => return Ok("the end".to_owned()),
                Some(Err(error)) => return Err(error).context("the WebSocket"),
            }
        }
    }
}
