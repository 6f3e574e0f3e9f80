//! Answers without an end: the head is written, and behind it the socket is handed to the session.

use std::rc::Rc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use widecast_protocol::Code;

use crate::http::{CURSOR_HEADER, Problem};
use crate::net::{Connection, detach};
use crate::session::{DiscardInbound, InboundDecoder, Session, SessionActor, SessionHandle};

/// The headers by which every answer of a subscription speaks to caches and proxies.
pub(in crate::transports) fn uncached(
    response: &mut HttpResponseBuilder,
) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
}

/// Answers with a one-way stream that ends when the connection does
/// ([RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3), rule 8): no chunk framing, so that its
/// bytes are the same for all.
pub(in crate::transports) fn stream(
    request: &HttpRequest,
    session: Rc<Session>,
    content_type: &str,
    cursor: Option<&str>,
) -> Result<HttpResponse, Problem> {
    if let Some(connection) = request.conn_data::<Rc<Connection>>() {
        connection.limit_unacknowledged(session.services().config.heartbeat.timeout);
    }
    let mut builder = HttpResponse::Ok();
    uncached(&mut builder)
        .content_type(content_type)
        .force_close();
    if let Some(cursor) = cursor {
        builder.insert_header((CURSOR_HEADER, cursor));
    }
    let mut response = hand_over(request, builder, session, Box::new(DiscardInbound))?;
    response.head_mut().no_chunking(true);
    Ok(response)
}

/// Answers with a head behind which the socket is the session's.
pub(in crate::transports) fn hand_over(
    request: &HttpRequest,
    mut head: HttpResponseBuilder,
    session: Rc<Session>,
    decoder: Box<dyn InboundDecoder>,
) -> Result<HttpResponse, Problem> {
    let dialect = session.dialect();
    let is_listed = dialect.frames().is_some() && !dialect.is_websocket();
    let body = detach(request, move |detached| {
        let named = is_listed.then(|| session.id().clone());
        let services = std::sync::Arc::clone(session.services());
        let address = SessionActor::start_connected(session, detached, decoder);
        if let Some(id) = named {
            services
                .sessions
                .add(&id, SessionHandle::new(address, dialect));
        }
    });
    let body = body.ok_or_else(|| {
        Problem::new(Code::Internal, "the request has no connection to stream on")
    })?;
    Ok(head.body(body))
}
