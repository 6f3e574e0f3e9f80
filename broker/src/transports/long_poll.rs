//! Long-polling without a session: each answer has a cursor, and the next poll begins there. The broker remembers nothing
//! between two polls, so an answer lost on the way is given again to who asks again with the old cursor.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use bytes::{BufMut, Bytes, BytesMut};
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Code};

use crate::http::{CURSOR_HEADER, ChannelPath, Problem};
use crate::metrics::Transport;
use crate::session::{Dialect, Right, Services, Span, Worker, require, require_jsonp};

use super::jsonp;
use super::opening::{Opening, cursor_of, open};
use super::query::{Subscription, worker};
use super::session_poll;
use super::streaming::uncached;

/// `GET /channels/{channel}/poll`
pub(super) async fn one(
    request: HttpRequest,
    channel: Result<ChannelPath, Problem>,
    subscription: Result<Subscription, Problem>,
) -> Result<HttpResponse, Problem> {
    let answer = async {
        let ChannelPath(channel) = channel?;
        poll(&worker(&request)?, &[channel], subscription?, Span::One).await
    };
    jsonp::wrapped(&request, answer).await
}

/// `GET /v1/poll`: several channels by `channel=`, or the frames of a session by `session=`.
pub(super) async fn several(
    request: HttpRequest,
    subscription: Result<Subscription, Problem>,
) -> Result<HttpResponse, Problem> {
    let answer = async {
        let subscription = subscription?;
        let worker = worker(&request)?;
        if subscription.session.is_some() {
            return session_poll::get(&request, &subscription, &worker.services).await;
        }
        let channels = subscription.some_channels()?.to_vec();
        poll(&worker, &channels, subscription, Span::Several).await
    };
    jsonp::wrapped(&request, answer).await
}

/// What a poll is answered.
struct Answer {
    messages: Vec<Bytes>,
    cursor: String,
    recovered: bool,
}

async fn poll(
    worker: &Worker,
    channels: &[ChannelName],
    subscription: Subscription,
    span: Span,
) -> Result<HttpResponse, Problem> {
    if subscription.callback.is_some() {
        for channel in channels {
            require_jsonp(&worker.services, channel)?;
        }
    }
    // A client that says how long to wait wants to wait: without a cursor, for the first message from now on.
    let waits = subscription.timeout.is_some_and(|asked| !asked.is_zero());
    let answer = if subscription.cursor.is_none() && !waits {
        present(worker, channels, span).await?
    } else {
        after(worker, channels, subscription, span).await?
    };
    let mut response = HttpResponse::Ok();
    uncached(&mut response).insert_header((CURSOR_HEADER, answer.cursor.as_str()));
    Ok(response
        .content_type("application/json")
        .body(body(&answer)))
}

/// The present end of the channels: where a client begins that has no cursor yet.
async fn present(worker: &Worker, channels: &[ChannelName], span: Span) -> Result<Answer, Problem> {
    let services = &worker.services;
    let mut vector = widecast_protocol::CursorVector::new();
    let mut cursor = String::new();
    for channel in channels {
        require(services, channel, Right::Subscribe)?;
        let limits = services.history_limits(channel);
        let position = services
            .engine
            .position(channel, limits)
            .await
            .map_err(crate::session::Refusal::from)?;
        cursor = position.to_string();
        vector.set(channel, position);
    }
    if span == Span::Several {
        cursor = vector.to_string();
    }
    Ok(Answer {
        messages: Vec::new(),
        cursor,
        recovered: true,
    })
}

/// What comes after the cursor, or from now on: at once if something is there, else when something comes or the time is up.
async fn after(
    worker: &Worker,
    channels: &[ChannelName],
    subscription: Subscription,
    span: Span,
) -> Result<Answer, Problem> {
    let wait = wait_of(&subscription, &worker.services);
    let cursor = subscription.cursor;
    let session = open(
        worker,
        subscription.identity,
        Dialect::polled(Wire::RawNdjson).spanning(span),
        Transport::Poll,
    )?;
    let opening = Opening::join(session, channels, cursor.as_ref()).await?;
    let recovered = opening.recovered;
    let beginning = opening.cursor();
    let session = opening.catch_up().await;
    let outbox = session.outbox();
    let mut messages = outbox.take();
    if messages.is_empty() && recovered && !wait.is_zero() {
        tokio::select! {
            biased;
            taken = std::future::poll_fn(|context| outbox.poll_take(context)) => messages = taken,
            () = tokio::time::sleep(wait) => {}
            () = worker.services.leave_begins() => {}
        }
    }
    if outbox.closed() == Some(Code::HistoryLost) {
        let mut lost = present(worker, channels, span).await?;
        lost.recovered = false;
        return Ok(lost);
    }
    if outbox.closed() == Some(Code::SlowConsumer) {
        // More came at once than may wait, and all of it is gone; the history has it, and gives it in portions.
        return Ok(Answer {
            messages: Vec::new(),
            cursor: beginning,
            recovered,
        });
    }
    // The last words of a broker that shuts down are empty: the answer is one without messages.
    messages.retain(|message| !message.is_empty());
    Ok(Answer {
        cursor: cursor_of(&session),
        messages,
        recovered,
    })
}

/// How long a poll waits.
pub(super) fn wait_of(subscription: &Subscription, services: &Services) -> Duration {
    let settings = &services.config.poll;
    let asked = subscription.timeout.unwrap_or(settings.timeout);
    asked.min(settings.max_timeout)
}

fn body(answer: &Answer) -> Bytes {
    let size: usize = answer.messages.iter().map(Bytes::len).sum();
    let mut body = BytesMut::with_capacity(size + answer.cursor.len() + 64);
    body.put_slice(b"{\"messages\":[");
    for (index, line) in answer.messages.iter().enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(line.strip_suffix(b"\n").unwrap_or(line));
    }
    // A cursor has no character that JSON escapes.
    let (cursor, recovered) = (&answer.cursor, answer.recovered);
    body.put_slice(format!("],\"cursor\":\"{cursor}\",\"recovered\":{recovered}}}").as_bytes());
    body.freeze()
}
