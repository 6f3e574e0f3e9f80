//! Server-sent events ([HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

use bytes::Bytes;
use widecast_protocol::framing::{Wire, sse};

use crate::session::{Session, Transport, millis};

use super::common::one_way::StreamForm;
use super::common::stream_request::{MessageFormat, StreamRequest};

/// `GET /channels/{channel}/sse` and `GET /v1/sse`
pub(super) struct EventStream;

impl StreamForm for EventStream {
    const TRANSPORT: Transport = Transport::Sse;

    fn raw(wanted: &StreamRequest) -> Wire {
        match wanted.format {
            MessageFormat::Data => Wire::RawSse,
            MessageFormat::Message => Wire::ObjectSse,
        }
    }

    fn frames(_: &StreamRequest) -> Wire {
        Wire::JsonSse
    }

    fn content_type(_: Wire) -> &'static str {
        "text/event-stream"
    }

    /// Tells the browser how long to wait before it reconnects, and from where to resume although nothing has been received
    /// yet.
    fn beginning(session: &Session, cursor: Option<&str>) -> Option<Bytes> {
        let retry = sse::retry(millis(session.services().config.shutdown.retry));
        let id = cursor.map_or_else(Bytes::new, sse::id);
        Some([retry, id].concat().into())
    }
}
