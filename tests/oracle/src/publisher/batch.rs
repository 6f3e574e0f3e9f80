//! Batches: many messages in one request, each with a result of its own.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use widecast_tests::broker::Answer;
use widecast_tests::message_pack;

use crate::catalog::Publication;
use crate::payload::Form;

use super::{Kind, Publisher, STRANGE, soon, take};

/// The forms that an entry can carry; they say only what the data is like.
const FORMS: [Form; 3] = [Form::Json, Form::Text, Form::Binary];

impl Publisher {
    pub(super) async fn batch(&mut self) -> Result<()> {
        let (pause, count) = self.author.turn();
        sleep(pause).await;
        let publications: Vec<_> = (0..count).map(|_| self.entry()).collect();
        // Those with a key once more, as a client does that has lost the answer.
        let done = self.send_batch(&publications).await;
        if done.is_err() || self.author.random().random_bool(0.05) {
            let keyed = publications.into_iter().filter(|it| it.keyed);
            self.send_batch(&keyed.collect::<Vec<_>>()).await?;
        }
        done
    }

    /// The next message of a batch or stream.
    pub(super) fn entry(&mut self) -> Arc<Publication> {
        let form = FORMS[self.author.random().random_range(0..FORMS.len())];
        self.author.write(form, true)
    }

    async fn send_batch(&self, publications: &[Arc<Publication>]) -> Result<()> {
        let messages: Vec<_> = publications.iter().map(|it| fields(it)).collect();
        let batch = json!({ "messages": messages });
        let (kind, body) = match self.kind {
            Kind::MessagePackBatch => ("application/msgpack", message_pack::encode(&batch)?),
            _ => ("application/json", serde_json::to_vec(&batch)?),
        };
        let lane = &self.author.subject.name;
        let attempts: Vec<_> = publications.iter().map(|it| it.attempt(lane)).collect();
        let url = format!("{}/v1/publish", self.endpoint.base);
        let request = self.endpoint.http.post(url).header("content-type", kind);
        let request = self.identified(request).body(body);
        let answer = soon(async { Answer::read(request.send().await?).await }).await?;
        if answer.status != 200 {
            for publication in publications {
                publication.refused(&answer.body);
            }
            bail!("{}: {}", answer.status, answer.body);
        }
        let results = answer.body["results"].as_array();
        let results = results.with_context(|| format!("{STRANGE} {}", answer.body))?;
        ensure!(results.len() == attempts.len(), "{STRANGE} {}", answer.body);
        for ((publication, attempt), result) in publications.iter().zip(attempts).zip(results) {
            take(publication, attempt, outcome(result))?;
        }
        Ok(())
    }
}

/// The outcome on the one channel of a message, or the error of the message.
pub(super) fn outcome(result: &Value) -> &Value {
    result.pointer("/channels/0").unwrap_or(result)
}

/// A message of a batch or stream.
pub(super) fn fields(publication: &Publication) -> Value {
    let mut fields = json!({ "data": publication.data });
    // Both ways to name the channel.
    if publication.keyed {
        fields["idempotency_key"] = publication.id.clone().into();
        fields["channels"] = json!([publication.channel]);
    } else {
        fields["channel"] = publication.channel.clone().into();
    }
    if let Some(event) = &publication.event {
        fields["event"] = event.clone().into();
    }
    fields
}
