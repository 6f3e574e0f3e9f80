//! Polls: each answer has what is newer than the cursor, and the next cursor.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::Raw;
use crate::error::Error;
use crate::frame::Frame;

/// How long an answer may take: more than a poll waits, unless the broker is set up otherwise, and then the poll is sent
/// again without loss.
pub(crate) const POLL_PATIENCE: Duration = Duration::from_mins(2);

/// The answer to a poll.
#[derive(Debug, Deserialize)]
pub(super) struct Polled {
    pub(super) messages: Vec<Frame>,
    pub(super) cursor: String,
    pub(super) recovered: bool,
}

/// A sequence of polls.
#[derive(Debug)]
pub(crate) struct Poll {
    /// The answer that showed that the broker lets these channels be heard.
    pub(super) first: Option<Polled>,
}

impl Poll {
    /// Asks for what is there already, which is answered at once.
    pub(super) async fn begin(raw: &mut Raw) -> Result<Self, Error> {
        let answer = ask(raw, &["timeout=0"]).await?;
        // The place to come back to after a cut before the first message.
        raw.cursor.get_or_insert_with(|| answer.cursor.clone());
        let first = Some(answer);
        Ok(Self { first })
    }

    /// Asks for what comes.
    pub(super) async fn ask(raw: &Raw) -> Result<Polled, Error> {
        ask(raw, &[]).await
    }
}

async fn ask(raw: &Raw, more: &[&str]) -> Result<Polled, Error> {
    let request = raw.request(more);
    let body = raw.http.whole(request, Bytes::new(), POLL_PATIENCE).await?;
    serde_json::from_slice(&body).map_err(|_| Error::Protocol("the answer to a poll"))
}
