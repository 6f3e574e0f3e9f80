//! A WebSocket with JSON, as pages have it that are written by hand: values, which are never answered, and batches with an
//! id, which are.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message as Frame;
use widecast_tests::socket::WebSocket;

use crate::catalog::Publication;
use crate::payload::Form;

use super::{Publisher, STRANGE, soon, take};

/// The batches that are not answered yet.
type Sent = BTreeMap<u64, Vec<(Arc<Publication>, usize)>>;

impl Publisher {
    pub(super) async fn value_socket(&mut self) -> Result<()> {
        let json = [("json".to_owned(), String::new())];
        let (mut socket, lane, channels) = self.open_socket(json.into()).await?;
        let done = self.send_values(&mut socket, &lane).await;
        self.author.subject.channels = channels;
        done
    }

    async fn send_values(&mut self, socket: &mut WebSocket, lane: &str) -> Result<()> {
        let mut sent = Sent::new();
        for number in 0..self.author.random().random_range(1..200) {
            let (pause, count) = self.author.turn();
            tokio::select! {
                () = sleep(pause) => {}
                read = read(socket, &mut sent) => return read,
            }
            let forms = (0..count).map(|_| self.author.random().random_range(0..3));
            let forms: Vec<usize> = forms.collect();
            if self.author.random().random_bool(0.3) {
                let batch = self.batch_of(forms.len(), lane);
                let messages: Vec<_> = batch.iter().map(|(it, _)| it.data.clone()).collect();
                let batch_frame = json!({ "type": "batch", "id": number, "messages": messages });
                sent.insert(number, batch);
                let frame = Frame::text(batch_frame.to_string());
                soon(async { Ok(socket.send(frame).await?) }).await?;
                continue;
            }
            for form in forms {
                let form = [Form::Json, Form::Text, Form::Binary][form];
                let publication = self.author.write(form, false);
                publication.attempt(lane);
                let frame = match form {
                    Form::Binary => Frame::binary(form.body(&publication.data)?),
                    _ => Frame::text(publication.data.to_string()),
                };
                soon(async { Ok(socket.feed(frame).await?) }).await?;
            }
            soon(async { Ok(socket.flush().await?) }).await?;
        }
        soon(async { Ok(socket.close(None).await?) }).await
    }

    fn batch_of(&mut self, count: usize, lane: &str) -> Vec<(Arc<Publication>, usize)> {
        let publications = (0..count).map(|_| {
            let publication = self.author.write(Form::Json, false);
            let attempt = publication.attempt(lane);
            (publication, attempt)
        });
        publications.collect()
    }
}

/// Reads answers until the connection ends.
async fn read(socket: &mut WebSocket, sent: &mut Sent) -> Result<()> {
    while let Some(Ok(frame)) = socket.next().await {
        let Frame::Text(text) = frame else {
            continue;
        };
        let value: Value = serde_json::from_str(&text)?;
        match value["type"].as_str() {
            Some("batch") => answered(sent, &value)?,
            Some("error") => ensure!(value["retryable"] == true, "{STRANGE} {value}"),
            _ => {}
        }
    }
    Ok(())
}

fn answered(sent: &mut Sent, answer: &Value) -> Result<()> {
    let batch = answer["id"].as_u64().and_then(|id| sent.remove(&id));
    let batch = batch.with_context(|| format!("{STRANGE} {answer}"))?;
    let results = answer["results"].as_array();
    let results = results.with_context(|| format!("{STRANGE} {answer}"))?;
    ensure!(results.len() == batch.len(), "{STRANGE} {answer}");
    for ((publication, attempt), result) in batch.iter().zip(results) {
        take(publication, *attempt, result)?;
    }
    Ok(())
}
