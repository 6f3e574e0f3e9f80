//! Server-sent events ([HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

use bytes::Bytes;
use widecast_protocol::framing::{Wire, sse};

use crate::metrics::Transport;
use crate::session::{Dialect, Session, Span, millis};

use super::one_way::StreamForm;
use super::query::Subscription;

/// `GET /channels/{channel}/sse` and `GET /v1/sse`
pub(super) struct EventStream;

impl StreamForm for EventStream {
    const TRANSPORT: Transport = Transport::Sse;

    fn raw(span: Span) -> Dialect {
        Dialect::RawSse(span)
    }

    fn wire(_: &Subscription) -> Wire {
        Wire::JsonSse
    }

    fn content_type(_: Dialect) -> &'static str {
        "text/event-stream"
    }

    /// How long to wait before reconnecting, and a place to resume from although nothing has been received yet.
    fn beginning(session: &Session, cursor: Option<&str>) -> Option<Bytes> {
        let retry = sse::retry(millis(session.services().config.shutdown.retry));
        let id = cursor.map_or_else(Bytes::new, sse::id);
        Some([retry, id].concat().into())
    }
}
