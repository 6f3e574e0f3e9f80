//! What a session publishes: commands and batches, and which answer belongs to which.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::Instant;
use widecast_tests::Published;

use crate::catalog::Publication;
use crate::payload::Form;
use crate::place::Place;
use crate::publisher::{Author, Subject};
use crate::seed::generator;

use super::Subscriber;

/// What a session publishes.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// What it writes.
    pub subject: Subject,
    /// The seed of its author.
    pub seed: u64,
}

/// The forms that a command can carry; they say only what the data is like.
const FORMS: [Form; 3] = [Form::Json, Form::Text, Form::Binary];

/// Publications that were sent and not answered yet.
pub(super) struct Desk {
    author: Author,
    lane: String,
    next: (Instant, usize),
    /// What was sent with each id: one publication, or the messages of a batch.
    sent: BTreeMap<u64, Vec<Sent>>,
    /// Keyed publications of earlier connections, to be repeated.
    again: Vec<Arc<Publication>>,
}

struct Sent {
    publication: Arc<Publication>,
    attempt: usize,
}

impl Desk {
    pub(super) fn new(what: Publishing, it: &Subscriber) -> Self {
        let random = generator(what.seed, &what.subject.name);
        let mut author = Author::new(what.subject, Arc::clone(&it.catalog), random);
        let (pause, count) = author.turn();
        Self {
            author,
            lane: String::new(),
            next: (Instant::now() + pause, count),
            sent: BTreeMap::new(),
            again: Vec::new(),
        }
    }

    /// A new connection: whatever was not answered on the last one is repeated if it has a key.
    pub(super) fn opened(&mut self, lane: String) {
        self.lane = lane;
        let unanswered = std::mem::take(&mut self.sent).into_values().flatten();
        let keyed = unanswered.filter(|sent| sent.publication.keyed);
        self.again.extend(keyed.map(|sent| sent.publication));
    }

    /// When it publishes next.
    pub(super) fn next_at(&self) -> Instant {
        self.next.0
    }

    /// What it publishes now.
    pub(super) fn commands(&mut self, ids: &mut u64) -> Value {
        let (_, count) = self.next;
        let (pause, next) = self.author.turn();
        self.next = (Instant::now() + pause, next);
        let mut publications = std::mem::take(&mut self.again);
        publications.truncate(100);
        for _ in 0..count {
            let form = FORMS[self.author.random().random_range(0..FORMS.len())];
            publications.push(self.author.write(form, true));
        }
        if self.author.random().random_bool(0.3) {
            *ids += 1;
            let messages: Vec<_> = publications.iter().map(|it| fields(it)).collect();
            let sent = publications.into_iter().map(|it| self.send(it)).collect();
            self.sent.insert(*ids, sent);
            return json!({ "type": "batch", "id": *ids, "messages": messages });
        }
        let mut commands = Vec::new();
        for publication in publications {
            *ids += 1;
            let mut command = fields(&publication);
            command["type"] = "publish".into();
            command["id"] = (*ids).into();
            commands.push(command);
            let sent = self.send(publication);
            self.sent.insert(*ids, vec![sent]);
        }
        commands.into()
    }

    fn send(&self, publication: Arc<Publication>) -> Sent {
        let attempt = publication.attempt(&self.lane);
        Sent {
            publication,
            attempt,
        }
    }

    /// Takes a `published` or `batch` frame.
    pub(super) fn answered(&mut self, frame: &Value) -> Result<()> {
        let sent = frame["id"].as_u64().and_then(|id| self.sent.remove(&id));
        let sent = sent.context("an answer to nothing")?;
        let alone = [frame.clone()];
        let results = frame["results"].as_array().map_or(&alone[..], |many| many);
        anyhow::ensure!(results.len() == sent.len(), "{} results", results.len());
        for (sent, result) in sent.iter().zip(results) {
            if result["type"] == "error" {
                sent.publication.refused(result);
                anyhow::ensure!(result["retryable"] == true, "{result}");
                continue;
            }
            let published = Published::from_object(result)?;
            anyhow::ensure!(published.channel == sent.publication.channel, "{result}");
            let place = Place::new(&published.epoch, published.offset);
            sent.publication
                .accepted(sent.attempt, place, published.duplicate);
        }
        Ok(())
    }

    /// Takes an `error` frame.
    pub(super) fn refused(&mut self, frame: &Value) {
        let sent = frame["id"].as_u64().and_then(|id| self.sent.remove(&id));
        for sent in sent.into_iter().flatten() {
            sent.publication.refused(frame);
        }
    }
}

fn fields(publication: &Publication) -> Value {
    let mut fields = json!({ "channel": publication.channel, "data": publication.data });
    if publication.keyed {
        fields["idempotency_key"] = publication.id.clone().into();
    }
    if let Some(event) = &publication.event {
        fields["event"] = event.clone().into();
    }
    fields
}
