//! One-way streams: what event streams and HTTP streams have in common. Each is a [`StreamForm`].

use std::rc::Rc;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Cursor};

use crate::http::{ChannelPath, Problem};
use crate::session::{CursorScope, Dialect, Session, Transport};

use super::opened_session::{OpenedSession, open};
use super::stream_request::StreamRequest;
use super::streaming::stream;
use super::worker::worker;

/// The form of one kind of one-way stream.
pub(in crate::transports) trait StreamForm {
    /// The transport under which its sessions are counted.
    const TRANSPORT: Transport;

    /// The wire of messages without frames.
    fn raw(wanted: &StreamRequest) -> Wire;

    /// The wire of frames.
    fn frames(wanted: &StreamRequest) -> Wire;

    /// The media type of a stream.
    fn content_type(wire: Wire) -> &'static str;

    /// The first bytes of a stream; a stream without frames has a `cursor` there.
    fn beginning(session: &Session, cursor: Option<&str>) -> Option<Bytes>;
}

/// The stream of one channel, named by the path.
pub(in crate::transports) async fn one<F: StreamForm>(
    request: HttpRequest,
    ChannelPath(channel): ChannelPath,
    wanted: StreamRequest,
) -> Result<HttpResponse, Problem> {
    raw::<F>(&request, &[channel], wanted, CursorScope::OneChannel).await
}

/// The stream of several channels named by `channel=`, or of the frames of a session by `session=new`.
pub(in crate::transports) async fn several<F: StreamForm>(
    request: HttpRequest,
    wanted: StreamRequest,
) -> Result<HttpResponse, Problem> {
    if wanted.wants_new_session()? {
        return envelope::<F>(&request, wanted).await;
    }
    let channels = wanted.some_channels()?.to_vec();
    raw::<F>(&request, &channels, wanted, CursorScope::SeveralChannels).await
}

async fn raw<F: StreamForm>(
    request: &HttpRequest,
    channels: &[ChannelName],
    wanted: StreamRequest,
    scope: CursorScope,
) -> Result<HttpResponse, Problem> {
    let dialect = Dialect::connected(F::raw(&wanted)).covering(scope);
    let StreamRequest {
        identity, cursor, ..
    } = wanted;
    let session = open(&worker(request)?, identity, dialect, F::TRANSPORT).await?;
    let (session, cursor) = begun::<F>(session, channels, cursor.as_ref()).await?;
    stream(
        request,
        session,
        F::content_type(dialect.wire()),
        Some(&cursor),
    )
}

/// Lets a raw stream begin, and returns it with the cursor for the head of its answer.
pub(in crate::transports) async fn begun<F: StreamForm>(
    session: Rc<Session>,
    channels: &[ChannelName],
    cursor: Option<&Cursor>,
) -> Result<(Rc<Session>, String), Problem> {
    let services = Arc::clone(session.services());
    let joining = async {
        let opened = OpenedSession::join(session, channels, cursor).await?;
        let cursor = opened.cursor();
        begin::<F>(&opened.session, Some(&cursor));
        Ok((opened.flow().await, cursor))
    };
    services.with_patience(joining).await
}

async fn envelope<F: StreamForm>(
    request: &HttpRequest,
    wanted: StreamRequest,
) -> Result<HttpResponse, Problem> {
    let dialect = Dialect::connected(F::frames(&wanted));
    let worker = worker(request)?;
    let session = open(&worker, wanted.identity, dialect, F::TRANSPORT).await?;
    begin::<F>(&session, None);
    session.welcome();
    session.join_named_channels(wanted.cursor.as_ref()).await;
    stream(request, session, F::content_type(dialect.wire()), None)
}

fn begin<F: StreamForm>(session: &Session, cursor: Option<&str>) {
    if let Some(beginning) = F::beginning(session, cursor) {
        session.outbox().push_frame(beginning);
    }
}
