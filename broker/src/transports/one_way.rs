//! One-way streams: what event streams and HTTP streams have in common. Each is a [`StreamForm`].

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Cursor};

use crate::http::{ChannelPath, Problem};
use crate::metrics::Transport;
use crate::session::{Dialect, Session, Span};

use super::opening::{Opening, open};
use super::query::{Subscription, worker};
use super::streaming::stream;

/// What one kind of one-way stream looks like.
pub(super) trait StreamForm {
    /// Under which name its sessions are counted.
    const TRANSPORT: Transport;

    /// The wire of messages without frames.
    fn raw(subscription: &Subscription) -> Wire;

    /// The wire of frames.
    fn frames(subscription: &Subscription) -> Wire;

    /// The media type of a stream.
    fn content_type(wire: Wire) -> &'static str;

    /// What a stream begins with; `cursor` is that of a stream without frames.
    fn beginning(session: &Session, cursor: Option<&str>) -> Option<Bytes>;
}

/// The stream of one channel, named by the path.
pub(super) async fn one<F: StreamForm>(
    request: HttpRequest,
    ChannelPath(channel): ChannelPath,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    raw::<F>(&request, &[channel], subscription, Span::One).await
}

/// The stream of several channels named by `channel=`, or of the frames of a session by `session=new`.
pub(super) async fn several<F: StreamForm>(
    request: HttpRequest,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    if subscription.wants_new_session()? {
        return envelope::<F>(&request, subscription);
    }
    let channels = subscription.some_channels()?.to_vec();
    raw::<F>(&request, &channels, subscription, Span::Several).await
}

async fn raw<F: StreamForm>(
    request: &HttpRequest,
    channels: &[ChannelName],
    subscription: Subscription,
    span: Span,
) -> Result<HttpResponse, Problem> {
    let dialect = Dialect::connected(F::raw(&subscription)).spanning(span);
    let Subscription {
        identity, cursor, ..
    } = subscription;
    let session = open(&worker(request)?, identity, dialect, F::TRANSPORT)?;
    let (session, cursor) = begun::<F>(session, channels, cursor.as_ref()).await?;
    stream(
        request,
        session,
        F::content_type(dialect.wire()),
        Some(&cursor),
    )
}

/// Lets a raw stream begin; gives it with the cursor for the head of its answer.
pub(super) async fn begun<F: StreamForm>(
    session: Rc<Session>,
    channels: &[ChannelName],
    cursor: Option<&Cursor>,
) -> Result<(Rc<Session>, String), Problem> {
    let opening = Opening::join(session, channels, cursor).await?;
    let cursor = opening.cursor();
    begin::<F>(&opening.session, Some(&cursor));
    Ok((opening.flow().await, cursor))
}

fn envelope<F: StreamForm>(
    request: &HttpRequest,
    subscription: Subscription,
) -> Result<HttpResponse, Problem> {
    let dialect = Dialect::connected(F::frames(&subscription));
    let worker = worker(request)?;
    let session = open(&worker, subscription.identity, dialect, F::TRANSPORT)?;
    begin::<F>(&session, None);
    session.welcome();
    stream(request, session, F::content_type(dialect.wire()), None)
}

fn begin<F: StreamForm>(session: &Session, cursor: Option<&str>) {
    if let Some(beginning) = F::beginning(session, cursor) {
        session.outbox().push_frame(beginning);
    }
}
