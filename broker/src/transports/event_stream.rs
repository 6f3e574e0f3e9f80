//! Server-sent events ([HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

use bytes::Bytes;
use widecast_protocol::framing::{Wire, sse};

use crate::metrics::Transport;
use crate::session::{Session, millis};

use super::one_way::StreamForm;
use super::query::{MessageFormat, Subscription};

/// `GET /channels/{channel}/sse` and `GET /v1/sse`
pub(super) struct EventStream;

impl StreamForm for EventStream {
    const TRANSPORT: Transport = Transport::Sse;

    fn raw(subscription: &Subscription) -> Wire {
        match subscription.format {
            MessageFormat::Data => Wire::RawSse,
            MessageFormat::Message => Wire::ObjectSse,
        }
    }

    fn frames(_: &Subscription) -> Wire {
        Wire::JsonSse
    }

    fn content_type(_: Wire) -> &'static str {
        "text/event-stream"
    }

    /// How long to wait before reconnecting, and a place to resume from although nothing has been received yet.
    fn beginning(session: &Session, cursor: Option<&str>) -> Option<Bytes> {
        let retry = sse::retry(millis(session.services().config.shutdown.retry));
        let id = cursor.map_or_else(Bytes::new, sse::id);
        Some([retry, id].concat().into())
    }
}
