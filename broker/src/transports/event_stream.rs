//! Server-sent events ([HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use widecast_protocol::ChannelName;
use widecast_protocol::framing::{Wire, sse};

use crate::http::{ChannelPath, Problem};
use crate::metrics::Transport;
use crate::session::{Dialect, Session, Span, millis};

use super::opening::{Opening, open};
use super::query::{Subscription, worker};
use super::streaming::stream;

const CONTENT_TYPE: &str = "text/event-stream";

/// `GET /channels/{channel}/sse`
pub(super) async fn one(
    request: HttpRequest,
    ChannelPath(channel): ChannelPath,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    raw(&request, &[channel], subscription, Span::One).await
}

/// `GET /v1/sse`: several channels by `channel=`, or frames by `session=new`.
pub(super) async fn several(
    request: HttpRequest,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    if subscription.wants_new_session()? {
        return envelope(&request, subscription);
    }
    let channels = subscription.some_channels()?.to_vec();
    raw(&request, &channels, subscription, Span::Several).await
}

async fn raw(
    request: &HttpRequest,
    channels: &[ChannelName],
    subscription: Subscription,
    span: Span,
) -> Result<HttpResponse, Problem> {
    let dialect = Dialect::RawSse(span);
    let session = open(
        &worker(request)?,
        subscription.identity,
        dialect,
        Transport::Sse,
    )?;
    let opening = Opening::join(session, channels, subscription.cursor.as_ref()).await?;
    let cursor = opening.cursor();
    opening
        .session
        .outbox()
        .push_frame(beginning(&opening.session, Some(&cursor)));
    stream(request, opening.flow(), CONTENT_TYPE, Some(&cursor))
}

fn envelope(request: &HttpRequest, subscription: Subscription) -> Result<HttpResponse, Problem> {
    let dialect = Dialect::Envelope(Wire::JsonSse);
    let session = open(
        &worker(request)?,
        subscription.identity,
        dialect,
        Transport::Sse,
    )?;
    session.outbox().push_frame(beginning(&session, None));
    session.welcome();
    stream(request, session, CONTENT_TYPE, None)
}

/// How long to wait before reconnecting, and a place to resume from although nothing has been received yet.
fn beginning(session: &Session, cursor: Option<&str>) -> Bytes {
    let retry = sse::retry(millis(session.services().config.shutdown.retry));
    let id = cursor.map_or_else(Bytes::new, sse::id);
    [retry, id].concat().into()
}
