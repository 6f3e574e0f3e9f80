//! A plain WebSocket that publishes strings and bytes. It is never answered: what it has sent may have been published.

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use serde_json::Value;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message as Frame;
use widecast_tests::address::address;
use widecast_tests::socket::{WebSocket, open_websocket};

use crate::payload::Form;

use super::{Publisher, soon};

impl Publisher {
    pub(super) async fn socket(&mut self) -> Result<()> {
        let (mut socket, lane, channels) = self.open_socket(Vec::new()).await?;
        let done = self.send_frames(&mut socket, &lane).await;
        self.author.subject.channels = channels;
        done
    }

    /// Opens a plain WebSocket on one of the channels, and publishes on no other until the channels that are given back,
    /// with the socket's lane, are put back.
    pub(super) async fn open_socket(
        &mut self,
        mut query: Vec<(String, String)>,
    ) -> Result<(WebSocket, String, Vec<String>)> {
        let number: u32 = self.author.random().random();
        let lane = format!("{}#{number:08x}", self.author.subject.name);
        let sender = self.author.subject.sender.clone();
        query.extend(sender.map(|key| ("sender".to_owned(), key)));
        let channels = self.author.subject.channels.clone();
        let channel = channels[self.author.random().random_range(0..channels.len())].clone();
        let url = address(&self.endpoint.base, &["channels", &channel, "ws"], &query)?;
        let (socket, _) = soon(open_websocket(&url, &[])).await?;
        self.author.subject.channels = vec![channel];
        Ok((socket, lane, channels))
    }

    async fn send_frames(&mut self, socket: &mut WebSocket, lane: &str) -> Result<()> {
        for _ in 0..self.author.random().random_range(1..200) {
            let (pause, count) = self.author.turn();
            let reading = async { while let Some(Ok(_)) = socket.next().await {} };
            tokio::select! {
                () = sleep(pause) => {}
                () = reading => return Ok(()),
            }
            for _ in 0..count {
                let text = self.author.random().random_bool(0.5);
                let form = if text { Form::Text } else { Form::Binary };
                let publication = self.author.write(form, false);
                publication.attempt(lane);
                let frame = match &publication.data {
                    Value::String(text) => Frame::text(text.clone()),
                    bytes => Frame::binary(form.body(bytes)?),
                };
                soon(async { Ok(socket.feed(frame).await?) }).await?;
            }
            soon(async { Ok(socket.flush().await?) }).await?;
        }
        let closed = soon(async { Ok(socket.close(None).await?) }).await;
        closed.context("closing")
    }
}
