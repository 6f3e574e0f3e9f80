//! A session of polls: each answer has the frames that came since the one before.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::query::SessionQuery;
use crate::error::Error;
use crate::frame::Frame;
use crate::http::Http;
use crate::raw::POLL_PATIENCE;
use crate::reconnect::End;

/// The answer to a poll.
#[derive(Debug, Deserialize)]
struct PollAnswer {
    session: String,
    frames: Vec<Frame>,
    /// Counts frames: with the next poll the broker may forget these.
    cursor: String,
}

/// The frames that polls bring.
pub(super) struct PollFrames {
    http: Http,
    query: SessionQuery,
    asking: BoxFuture<'static, Result<Bytes, Error>>,
}

impl fmt::Debug for PollFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFrames").finish_non_exhaustive()
    }
}

impl PollFrames {
    /// Asks for a new session.
    pub(super) fn new(http: Http, query: &SessionQuery) -> Self {
        let asking = ask(&http, &query.opening(Some("session=new")));
        Self {
            http,
            query: query.clone(),
            asking,
        }
    }

    /// The next frames. Cancel safe: the request goes on.
    pub(super) async fn next(&mut self) -> Result<Vec<Frame>, End> {
        let answer = (&mut self.asking).await;
        let answer = answer.map_err(|error| match error {
            // The session has ended by itself: another one resumes.
            Error::Refused(refusal) if refusal.code.as_deref() == Some("session_not_found") => {
                Error::Cut(refusal.to_string())
            }
            other => other,
        })?;
        let answer: Result<PollAnswer, _> = serde_json::from_slice(&answer);
        let answer = answer.map_err(|_| Error::Protocol("the answer to a poll"))?;
        let place = format!("session={}&cursor={}", answer.session, answer.cursor);
        self.asking = ask(&self.http, &self.query.following(&place));
        Ok(answer.frames)
    }
}

fn ask(http: &Http, query: &str) -> BoxFuture<'static, Result<Bytes, Error>> {
    let path = format!("/v1/poll{query}");
    let http = http.clone();
    Box::pin(async move {
        let request = http.get(&path, "application/json");
        http.whole(request, Bytes::new(), POLL_PATIENCE).await
    })
}
