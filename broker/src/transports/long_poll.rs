//! Long-polling without a session: each answer has a cursor, and the next poll begins there. The broker remembers nothing
//! between two polls: a client that has lost an answer asks again with the old cursor, and is given the same.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::{Instant, sleep_until};
use widecast_protocol::framing::body::Page;
use widecast_protocol::{ChannelName, Code, CursorVector, Position};

use crate::auth::Principal;
use crate::config::HookEvent;
use crate::http::{CURSOR_HEADER, ChannelPath, PiecesBody, Problem};
use crate::registry::Ended;
use crate::session::{
    self, CursorScope, Dialect, Identity, Services, Transport, Worker, at_once, hook_for,
    require_jsonp,
};

use super::common::opened_session::{OpenedSession, cursor_of, open, require_staying};
use super::common::stream_request::{PollRequest, StreamRequest};
use super::common::streaming::uncached;
use super::common::worker::worker;
use super::jsonp;
use super::session_poll;

/// `GET /channels/{channel}/poll`
pub(super) async fn one(
    request: HttpRequest,
    channel: Result<ChannelPath, Problem>,
    wanted: Result<PollRequest, Problem>,
) -> Result<HttpResponse, Problem> {
    let answer = async {
        let ChannelPath(channel) = channel?;
        poll(
            &worker(&request)?,
            &[channel],
            wanted?.0,
            CursorScope::OneChannel,
        )
        .await
    };
    jsonp::wrapped(&request, answer).await
}

/// `GET /v1/poll`: several channels by `channel=`, or the frames of a session by `session=`.
pub(super) async fn several(
    request: HttpRequest,
    wanted: Result<PollRequest, Problem>,
) -> Result<HttpResponse, Problem> {
    let answer = async {
        let PollRequest(wanted) = wanted?;
        let worker = worker(&request)?;
        if wanted.session.is_some() {
            return session_poll::get(&request, &wanted, &worker.services).await;
        }
        let channels = wanted.some_channels()?.to_vec();
        poll(&worker, &channels, wanted, CursorScope::SeveralChannels).await
    };
    jsonp::wrapped(&request, answer).await
}

/// The answer to a poll.
pub(super) struct PollAnswer {
    /// Each as it is on [`Page::WIRE`].
    pub(super) messages: Vec<Bytes>,
    /// Where the next poll begins.
    pub(super) cursor: String,
    /// Whether nothing was lost before the messages.
    pub(super) recovered: bool,
}

async fn poll(
    worker: &Worker,
    channels: &[ChannelName],
    wanted: StreamRequest,
    scope: CursorScope,
) -> Result<HttpResponse, Problem> {
    if wanted.callback.is_some() {
        for channel in channels {
            require_jsonp(&worker.services, channel)?;
        }
    }
    let answer = answer(worker, channels, wanted, scope).await?;
    let mut response = HttpResponse::Ok();
    uncached(&mut response).insert_header((CURSOR_HEADER, answer.cursor.as_str()));
    let page = Page {
        messages: &answer.messages,
        cursor: &answer.cursor,
        recovered: answer.recovered,
    };
    Ok(response
        .content_type("application/json")
        .body(PiecesBody(page.encode())))
}

/// What a client is answered that asks for messages of these channels.
///
/// # Errors
/// When one of the channels cannot be joined or read, or the cursor is not for them.
pub(super) async fn answer(
    worker: &Worker,
    channels: &[ChannelName],
    wanted: StreamRequest,
    scope: CursorScope,
) -> Result<PollAnswer, Problem> {
    // A client that says how long to wait wants to wait: without a cursor, for the first message from now on.
    let waits = wanted.timeout.is_some_and(|asked| !asked.is_zero());
    if wanted.cursor.is_some() || waits {
        return after(worker, channels, wanted, scope).await;
    }
    let Identity {
        principal, headers, ..
    } = wanted.identity;
    require_staying(&worker.services)?;
    let principal = session::admit(&worker.services, principal, &headers).await?;
    present(worker, &principal, channels, scope).await
}

/// The present ends of the channels: a client that has no cursor yet begins there.
async fn present(
    worker: &Worker,
    principal: &Principal,
    channels: &[ChannelName],
    scope: CursorScope,
) -> Result<PollAnswer, Problem> {
    let services = &worker.services;
    let position = |channel| session::position(services, principal, channel);
    let hook = hook_for(services, HookEvent::Subscribe, principal);
    let positions = at_once(hook, channels.iter().map(position)).try_collect();
    let positions: Vec<Position> = positions.await?;
    let mut vector = CursorVector::new();
    for (channel, position) in channels.iter().zip(&positions) {
        vector.set(channel, *position);
    }
    let cursor = match &positions[..] {
        [position] if scope == CursorScope::OneChannel => position.to_string(),
        _ => vector.to_string(),
    };
    Ok(PollAnswer {
        messages: Vec::new(),
        cursor,
        recovered: true,
    })
}

/// Answers with the messages after the cursor, or with those from now on: at once if there are some, else when one comes or
/// the time is up.
async fn after(
    worker: &Worker,
    channels: &[ChannelName],
    wanted: StreamRequest,
    scope: CursorScope,
) -> Result<PollAnswer, Problem> {
    let wait = wait_of(&wanted, &worker.services);
    let until = Instant::now() + wait;
    let cursor = wanted.cursor;
    let session = open(
        worker,
        wanted.identity,
        Dialect::polled(Page::WIRE).covering(scope),
        Transport::Poll,
    )
    .await?;
    let joining = async {
        let opened = OpenedSession::join(session, channels, cursor.as_ref()).await?;
        let (recovered, beginning) = (opened.recovered, opened.cursor());
        Ok::<_, Problem>((opened.catch_up().await, beginning, recovered))
    };
    let joined = worker.services.with_patience(joining).await;
    let (session, beginning, recovered) = joined?;
    let outbox = session.outbox();
    let mut messages = outbox.take();
    let has_news = !messages.is_empty() || !recovered || outbox.has_lost();
    if !has_news && !wait.is_zero() {
        tokio::select! {
            biased;
            taken = std::future::poll_fn(|context| outbox.poll_take(context)) => messages = taken,
            () = sleep_until(until) => {}
            () = worker.services.leave_begins() => {}
        }
    }
    if let Some(refusal) = session.refusal() {
        // The messages that were taken are gone with it, but the client still has its cursor.
        return Err(refusal.into());
    }
    if outbox.closed() == Some(Ended::SlowConsumer) {
        // More messages came at once than may wait, and all of them were dropped. The history still has them, and gives them
        // in portions.
        return Ok(PollAnswer {
            messages: Vec::new(),
            cursor: beginning,
            recovered,
        });
    }
    if messages.is_empty() && outbox.closed() == Some(Ended::EngineUnavailable) {
        let detail = "the history cannot be read now: poll again with the same cursor";
        return Err(Problem::new(Code::EngineUnavailable, detail));
    }
    // The last words of a broker that shuts down are empty: the answer is one without messages.
    messages.retain(|message| !message.is_empty());
    Ok(PollAnswer {
        cursor: cursor_of(&session),
        messages,
        recovered: recovered && !outbox.has_lost(),
    })
}

/// How long a poll waits.
pub(super) fn wait_of(wanted: &StreamRequest, services: &Services) -> Duration {
    let settings = &services.config.poll;
    let asked = wanted.timeout.unwrap_or(settings.timeout);
    asked.min(settings.max_timeout)
}

#[cfg(test)]
#[path = "long_poll_tests.rs"]
mod tests;
