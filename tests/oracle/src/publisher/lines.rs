//! A stream of lines, each acknowledged by a line, while the next ones are on their way.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::stream;
use rand::RngExt;
use reqwest::{Body, Response};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use widecast_tests::subscriber::lines::Lines;

use crate::catalog::Publication;
use crate::subscriber::PATIENCE;

use super::batch::{fields, outcome};
use super::{Publisher, STRANGE, take};

/// How many lines may be under way.
const UNDER_WAY: usize = 64;

/// What is under way, with the number of its attempt.
type UnderWay = VecDeque<(Arc<Publication>, usize)>;

impl Publisher {
    pub(super) async fn stream(&mut self) -> Result<()> {
        let number: u32 = self.author.random().random();
        let lane = format!("{}#{number:08x}", self.author.subject.name);
        let mut lines = self.author.random().random_range(1..400);
        let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(UNDER_WAY);
        let body = stream::unfold(receiver, |mut receiver| async {
            Some((receiver.recv().await?, receiver))
        });
        let url = format!("{}/v1/publish", self.endpoint.base);
        let request = self.endpoint.http.post(url);
        let request = request.header("content-type", "application/x-ndjson");
        let request = self.identified(request).body(Body::wrap_stream(body));
        let answering = request.send();
        tokio::pin!(answering);
        let mut answers: Option<Lines> = None;
        let mut sender = Some(sender);
        let mut under_way = UnderWay::new();
        let mut next = self.author.turn();
        let mut at = Instant::now() + next.0;
        loop {
            let may_send = sender.is_some() && under_way.len() < UNDER_WAY;
            tokio::select! {
                () = sleep_until(at), if may_send => {
                    let publication = self.entry();
                    under_way.push_back((Arc::clone(&publication), publication.attempt(&lane)));
                    let text = format!("{}\n", fields(&publication));
                    let sent = sender.as_ref().context("just seen")?.send(Ok(text.into())).await;
                    lines -= 1;
                    if sent.is_err() || lines == 0 {
                        sender = None;
                    }
                    next.1 -= 1;
                    if next.1 == 0 {
                        next = self.author.turn();
                        at = Instant::now() + next.0;
                    }
                }
                response = &mut answering, if answers.is_none() => {
                    answers = Some(begun(response?).await?);
                }
                answer = next_answer(&mut answers) => match answer? {
                    Some(answer) => acknowledged(&mut under_way, &answer)?,
                    None => return Ok(()),
                },
            }
        }
    }
}

async fn begun(response: Response) -> Result<Lines> {
    if response.status() != 200 {
        bail!("{}: {}", response.status(), response.text().await?);
    }
    Ok(Lines::new(response))
}

async fn next_answer(answers: &mut Option<Lines>) -> Result<Option<String>> {
    match answers {
        Some(lines) => timeout(PATIENCE, lines.next()).await.context("no answer")?,
        None => std::future::pending().await,
    }
}

fn acknowledged(under_way: &mut UnderWay, line: &str) -> Result<()> {
    let answer: Value = serde_json::from_str(line).with_context(|| format!("{STRANGE} {line}"))?;
    if answer["error"]["code"] == "shutting_down" {
        // Nothing that is not acknowledged has been published.
        for (publication, _) in under_way.drain(..) {
            publication.refused(&answer["error"]);
        }
        return Ok(());
    }
    let first = under_way.pop_front();
    let (publication, attempt) = first.with_context(|| format!("{STRANGE} {line}"))?;
    take(&publication, attempt, outcome(&answer)).map(drop)
}
