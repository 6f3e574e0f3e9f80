//! One POST for each message. What has an idempotency key is repeated until it is answered, and now and then once more.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::time::sleep;
use widecast_tests::address::address;

use crate::catalog::Publication;
use crate::payload::Form;

use super::{Came, Publisher, STRANGE, soon, take};

impl Publisher {
    pub(super) async fn post(&mut self) -> Result<()> {
        let (pause, count) = self.author.turn();
        sleep(pause).await;
        for _ in 0..count {
            let form = Form::ALL[self.author.random().random_range(0..Form::ALL.len())];
            let publication = self.author.write(form, true);
            self.post_one(form, &publication).await?;
        }
        Ok(())
    }

    async fn post_one(&mut self, form: Form, publication: &Arc<Publication>) -> Result<()> {
        loop {
            let came = self.attempt(form, publication).await;
            if !publication.keyed {
                return came.map(drop);
            }
            let repeats = self.author.random().random_bool(0.1);
            match came {
                Ok(Came::Accepted) if !repeats => return Ok(()),
                Err(error) if format!("{error:#}").contains(STRANGE) => return Err(error),
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn attempt(&self, form: Form, publication: &Arc<Publication>) -> Result<Came> {
        let request = self.request(form, publication)?;
        let attempt = publication.attempt(&self.author.subject.name);
        let answer: Value = soon(async { Ok(request.send().await?.json().await?) }).await?;
        take(publication, attempt, &answer)
    }

    fn request(&self, form: Form, publication: &Publication) -> Result<RequestBuilder> {
        let event = publication.event.iter();
        let query: Vec<_> = event
            .map(|event| ("event".to_owned(), event.clone()))
            .collect();
        let path = ["channels", &publication.channel, "messages"];
        let url = address(&self.endpoint.base, &path, &query)?;
        let request = self.endpoint.http.post(url);
        let mut request = request.header("content-type", form.content_type());
        if let Some(encoding) = form.content_encoding() {
            request = request.header("content-encoding", encoding);
        }
        if publication.keyed {
            request = request.header("idempotency-key", &publication.id);
        }
        Ok(self.identified(request).body(form.body(&publication.data)?))
    }

    pub(super) fn identified(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.author.subject.sender {
            Some(key) => request.header("widecast-sender", key),
            None => request,
        }
    }
}
