//! Sessions of polls: frames for clients that have nothing but requests.
//!
//! An answer is `{"session","frames":[…],"cursor"}`; the next poll's cursor says that it arrived, and until then the same
//! frames are given again.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::oneshot;
use widecast_protocol::framing::Wire;
use widecast_protocol::{Code, SessionId};

use crate::http::Problem;
use crate::metrics::Transport;
use crate::session::{Commands, Dialect, Listed, Services, SessionActor, Take, Taken};

use super::commands::{body_commands_if_any, session, session_not_found};
use super::jsonp;
use super::long_poll::wait_of;
use super::opening::open;
use super::query::{Subscription, worker};
use super::streaming::uncached;

/// `POST /v1/poll?session=new|{session}`: commands, and the poll behind them.
pub(super) async fn post(
    request: HttpRequest,
    body: web::Payload,
    subscription: Subscription,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let commands = body_commands_if_any(&request, body, &services).await?;
    let arrived = arrived(&subscription)?;
    let (id, listed) = find_or_open(&request, &subscription, &services)?;
    listed
        .address
        .send(Commands(commands))
        .await
        .map_err(|_| session_not_found())?;
    answer(&id, &listed, arrived, wait_of(&subscription, &services)).await
}

/// `GET /v1/poll?session=new|{session}`
pub(super) async fn get(
    request: &HttpRequest,
    subscription: &Subscription,
    services: &Services,
) -> Result<HttpResponse, Problem> {
    let arrived = arrived(subscription)?;
    let (id, listed) = find_or_open(request, subscription, services)?;
    answer(&id, &listed, arrived, wait_of(subscription, services)).await
}

fn find_or_open(
    request: &HttpRequest,
    subscription: &Subscription,
    services: &Services,
) -> Result<(SessionId, Listed), Problem> {
    match subscription.session.as_deref() {
        Some("new") => {
            // Nothing else bounds them: they have no connection.
            let limit = services.config.server.max_connections;
            if services.sessions.count() >= limit {
                let detail =
                    format!("there are {limit} sessions, server.max_connections allows no more");
                return Err(Problem::new(Code::TooManyConnections, detail));
            }
            let dialect = match (&subscription.callback, subscription.msgpack) {
                (Some(_), _) => jsonp::dialect(services)?,
                (None, true) => Dialect::polled(Wire::MessagePackStream),
                (None, false) => Dialect::polled(Wire::JsonNdjson),
            };
            let identity = subscription.identity.clone();
            let session = open(&worker(request)?, identity, dialect, Transport::Poll)?;
            session.welcome();
            let id = session.id().clone();
            let address = SessionActor::start_polled(session);
            let listed = Listed { address, dialect };
            services.sessions.add(&id, listed.clone());
            Ok((id, listed))
        }
        Some(name) => {
            let listed = session(services, name, subscription.callback.as_ref())?;
            let id = SessionId::parse(name).map_err(|_| session_not_found())?;
            Ok((id, listed))
        }
        None => {
            let detail = "name the session with session=, or open one with session=new";
            Err(Problem::new(Code::InvalidRequest, detail))
        }
    }
}

async fn answer(
    id: &SessionId,
    listed: &Listed,
    arrived: Option<u64>,
    wait: Duration,
) -> Result<HttpResponse, Problem> {
    // Dropped with this request.
    let (_here, gone) = oneshot::channel();
    let take = Take {
        arrived,
        wait,
        gone,
    };
    let taken = listed
        .address
        .send(take)
        .await
        .map_err(|_| session_not_found())?;
    let (content_type, body) = match listed.dialect.wire() {
        Wire::MessagePackStream => ("application/msgpack", msgpack(id, &taken)),
        _ => ("application/json", json(id, &taken)),
    };
    let mut response = HttpResponse::Ok();
    Ok(uncached(&mut response)
        .content_type(content_type)
        .body(body))
}

fn arrived(subscription: &Subscription) -> Result<Option<u64>, Problem> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            let detail = "expected the cursor of the last answer: a whole number";
            Problem::new(Code::BadCursor, detail)
        })
    };
    subscription.cursor_text.as_ref().map(parse).transpose()
}

fn json(id: &SessionId, taken: &Taken) -> Bytes {
    let size: usize = taken.frames.iter().map(Bytes::len).sum();
    let mut body = BytesMut::with_capacity(size + 128);
    body.put_slice(format!("{{\"session\":\"{id}\",\"frames\":[").as_bytes());
    for (index, line) in taken.frames.iter().enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(line.strip_suffix(b"\n").unwrap_or(line));
    }
    body.put_slice(format!("],\"cursor\":\"{}\"}}\n", taken.cursor).as_bytes());
    body.freeze()
}

fn msgpack(id: &SessionId, taken: &Taken) -> Bytes {
    /// The length before each frame in a stream.
    const PREFIX: usize = 4;
    let size: usize = taken.frames.iter().map(Bytes::len).sum();
    let mut body = Vec::with_capacity(size + 128);
    let cursor = taken.cursor.to_string();
    let count = u32::try_from(taken.frames.len()).unwrap_or(u32::MAX);
    // Writing to memory does not fail, so the results say nothing.
    let _ = rmp::encode::write_map_len(&mut body, 3);
    let _ = rmp::encode::write_str(&mut body, "session");
    let _ = rmp::encode::write_str(&mut body, id.as_str());
    let _ = rmp::encode::write_str(&mut body, "frames");
    let _ = rmp::encode::write_array_len(&mut body, count);
    for frame in &taken.frames {
        body.put_slice(&frame[PREFIX.min(frame.len())..]);
    }
    let _ = rmp::encode::write_str(&mut body, "cursor");
    let _ = rmp::encode::write_str(&mut body, &cursor);
    body.into()
}
