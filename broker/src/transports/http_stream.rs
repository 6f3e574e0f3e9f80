//! HTTP streaming: message objects or frames one a line, or frames as length-prefixed MessagePack.

use actix_web::{HttpRequest, HttpResponse};
use widecast_protocol::ChannelName;
use widecast_protocol::framing::Wire;

use crate::http::{ChannelPath, Problem};
use crate::metrics::Transport;
use crate::session::{Dialect, Span};

use super::opening::{Opening, open};
use super::query::{Subscription, worker};
use super::streaming::stream;

const NDJSON: &str = "application/x-ndjson";
const MSGPACK: &str = "application/msgpack";

/// `GET /channels/{channel}/stream`
pub(super) async fn one(
    request: HttpRequest,
    ChannelPath(channel): ChannelPath,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    raw(&request, &[channel], subscription, Span::One).await
}

/// `GET /v1/stream`: several channels by `channel=`, or frames by `session=new`.
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
    let dialect = Dialect::RawNdjson(span);
    let session = open(
        &worker(request)?,
        subscription.identity,
        dialect,
        Transport::Stream,
    )?;
    let opening = Opening::join(session, channels, subscription.cursor.as_ref()).await?;
    let cursor = opening.cursor();
    stream(request, opening.flow(), NDJSON, Some(&cursor))
}

fn envelope(request: &HttpRequest, subscription: Subscription) -> Result<HttpResponse, Problem> {
    let (wire, content_type) = if subscription.msgpack {
        (Wire::MessagePackStream, MSGPACK)
    } else {
        (Wire::JsonNdjson, NDJSON)
    };
    let dialect = Dialect::Envelope(wire);
    let session = open(
        &worker(request)?,
        subscription.identity,
        dialect,
        Transport::Stream,
    )?;
    session.welcome();
    stream(request, session, content_type, None)
}
