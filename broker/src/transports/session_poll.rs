//! Sessions of polls: frames for clients that have nothing but requests.
//!
//! An answer is `{"session","frames":[…],"cursor"}`; the next poll's cursor says that it arrived, and until then the same
//! frames are given again.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::sync::oneshot;
use widecast_protocol::codec::Codec;
use widecast_protocol::framing::Wire;
use widecast_protocol::framing::body::PolledBody;
use widecast_protocol::{Code, SessionId};

use crate::http::{PiecesBody, Problem};
use crate::metrics::Limit;
use crate::session::{Dialect, Services, SessionActor, SessionHandle, TakeFrames, Transport};

use super::common::inbound_commands::body_commands_if_any;
use super::common::opened_session::open;
use super::common::stream_request::{NEW_SESSION, StreamRequest};
use super::common::streaming::uncached;
use super::common::worker::worker;
use super::jsonp;
use super::long_poll::wait_of;
use super::session_commands::{pass_on, session, session_not_found};

/// `POST /v1/poll?session=new|{session}`: commands, and the poll behind them.
pub(super) async fn post(
    request: HttpRequest,
    body: web::Payload,
    wanted: StreamRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let commands = body_commands_if_any(&request, body, &services).await?;
    let arrived = arrived(&wanted)?;
    let (id, handle) = find_or_open(&request, &wanted, &services).await?;
    if let Some(commands) = commands {
        pass_on(&services, &handle, commands).await?;
    }
    answer(&id, &handle, arrived, wait_of(&wanted, &services)).await
}

/// `GET /v1/poll?session=new|{session}`
pub(super) async fn get(
    request: &HttpRequest,
    wanted: &StreamRequest,
    services: &Services,
) -> Result<HttpResponse, Problem> {
    let arrived = arrived(wanted)?;
    let (id, handle) = find_or_open(request, wanted, services).await?;
    answer(&id, &handle, arrived, wait_of(wanted, services)).await
}

async fn find_or_open(
    request: &HttpRequest,
    wanted: &StreamRequest,
    services: &Services,
) -> Result<(SessionId, SessionHandle), Problem> {
    match wanted.session.as_deref() {
        Some(NEW_SESSION) => {
            // Nothing else bounds them: they have no connection.
            let limit = services.config.server.max_connections;
            if services.sessions.count() >= limit {
                let detail =
                    format!("there are {limit} sessions, server.max_connections allows no more");
                let code = Code::TooManyConnections;
                return Err(services.beyond(Limit::Connections, code, detail).into());
            }
            let dialect = match (&wanted.callback, wanted.msgpack) {
                (Some(_), _) => jsonp::dialect(services)?,
                (None, true) => Dialect::polled(Wire::MessagePackStream),
                (None, false) => Dialect::polled(Wire::JsonNdjson),
            };
            let identity = wanted.identity.clone();
            let session = open(&worker(request)?, identity, dialect, Transport::Poll).await?;
            session.welcome();
            session.join_named_channels(wanted.cursor.as_ref()).await;
            let id = session.id().clone();
            let address = SessionActor::start_polled(session);
            let handle = SessionHandle::new(address, dialect);
            services.sessions.add(&id, handle.clone());
            Ok((id, handle))
        }
        Some(name) => {
            let handle = session(services, name, wanted.callback.as_ref())?;
            let id = SessionId::parse(name).map_err(|_| session_not_found())?;
            Ok((id, handle))
        }
        None => {
            let detail = "name the session with session=, or open one with session=new";
            Err(Problem::new(Code::InvalidRequest, detail))
        }
    }
}

async fn answer(
    id: &SessionId,
    handle: &SessionHandle,
    arrived: Option<u64>,
    wait: Duration,
) -> Result<HttpResponse, Problem> {
    // Dropped with this request.
    let (_here, gone) = oneshot::channel();
    let take = TakeFrames {
        arrived,
        wait,
        gone,
    };
    let taken = handle
        .address
        .send(take)
        .await
        .ok()
        .flatten()
        .ok_or_else(session_not_found)?;
    let wire = handle.dialect.wire();
    let content_type = match wire.codec() {
        Codec::MessagePack => "application/msgpack",
        Codec::Json => "application/json",
    };
    let answer = PolledBody {
        session: id,
        frames: &taken.frames,
        cursor: taken.cursor,
    };
    let mut response = HttpResponse::Ok();
    Ok(uncached(&mut response)
        .content_type(content_type)
        .body(PiecesBody(answer.encode(wire))))
}

fn arrived(wanted: &StreamRequest) -> Result<Option<u64>, Problem> {
    if wanted.session.as_deref() == Some(NEW_SESSION) {
        // Nothing was taken yet: a cursor says where channels begin.
        return Ok(None);
    }
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            let detail = "expected the cursor of the last answer: a whole number";
            Problem::new(Code::BadCursor, detail)
        })
    };
    wanted.cursor_text.as_ref().map(parse).transpose()
}
