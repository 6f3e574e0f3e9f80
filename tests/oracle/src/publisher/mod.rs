//! Publishers of every kind that is no session: each writes down what it tries and what it is answered.

mod author;
mod batch;
mod http;
mod lines;
mod raw_websocket;
mod value_websocket;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rand::RngExt;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use widecast_tests::{Endpoint, Published};

use crate::catalog::Publication;
use crate::place::Place;
use crate::subscriber::PATIENCE;

pub use self::author::{Author, Rhythm, Subject};

/// How something is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One POST for each message, in all forms of a body.
    Http,
    /// Batches in JSON.
    JsonBatch,
    /// Batches in MessagePack.
    MessagePackBatch,
    /// A stream of lines.
    Lines,
    /// A plain WebSocket.
    RawWebSocket,
    /// A WebSocket with JSON.
    ValueWebSocket,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Http,
        Self::JsonBatch,
        Self::MessagePackBatch,
        Self::Lines,
        Self::RawWebSocket,
        Self::ValueWebSocket,
    ];
}

/// A publisher.
pub struct Publisher {
    /// How it publishes.
    pub kind: Kind,
    /// Its way to the broker.
    pub endpoint: Endpoint,
    /// Who writes.
    pub author: Author,
    /// Becomes true when nothing more is to be published.
    pub calm: watch::Receiver<bool>,
}

/// What a publication came to.
enum Came {
    /// It was published.
    Accepted,
    /// It was not.
    RefusedCommand,
}

impl Publisher {
    /// Publishes until all is to be calm.
    pub async fn run(mut self) {
        let mut calm = self.calm.clone();
        let publishing = async {
            loop {
                let done = match self.kind {
                    Kind::Http => self.post().await,
                    Kind::JsonBatch | Kind::MessagePackBatch => self.batch().await,
                    Kind::Lines => self.stream().await,
                    Kind::RawWebSocket => self.socket().await,
                    Kind::ValueWebSocket => self.value_socket().await,
                };
                if let Err(error) = done {
                    let error = format!("{error:#}");
                    if error.contains("\"retryable\":false") || error.contains(STRANGE) {
                        self.author.strange(&error);
                    }
                    let pause = self.author.random().random_range(1..50);
                    sleep(Duration::from_millis(pause)).await;
                }
            }
        };
        tokio::select! {
            _ = calm.wait_for(|calm| *calm) => {}
            () = publishing => {}
        }
    }
}

/// Marks an answer that the protocol does not have.
const STRANGE: &str = "strange:";

/// Waits for an answer.
async fn soon<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => bail!("no answer"),
    }
}

/// Takes the answer to one publication: its place, or an error.
fn take(publication: &Arc<Publication>, attempt: usize, answer: &Value) -> Result<Came> {
    let error = answer.get("error").or_else(|| {
        let problem = answer.get("code").is_some();
        problem.then_some(answer)
    });
    if let Some(error) = error {
        publication.refused(error);
        ensure!(error["retryable"] == true, "{STRANGE} {error}");
        return Ok(Came::RefusedCommand);
    }
    let Ok(published) = Published::from_object(answer) else {
        bail!("{STRANGE} {answer}");
    };
    ensure!(
        published.channel == publication.channel,
        "{STRANGE} {answer}"
    );
    let place = Place::new(&published.epoch, published.offset);
    publication.accepted(attempt, place, published.duplicate);
    Ok(Came::Accepted)
}
