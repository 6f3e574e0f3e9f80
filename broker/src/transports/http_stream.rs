//! HTTP streaming: message objects or frames one a line, or frames as length-prefixed MessagePack.

use bytes::Bytes;
use widecast_protocol::framing::Wire;

use crate::session::{Session, Transport};

use super::common::one_way::StreamForm;
use super::common::stream_request::StreamRequest;

/// `GET /channels/{channel}/stream` and `GET /v1/stream`
pub(super) struct HttpStream;

impl StreamForm for HttpStream {
    const TRANSPORT: Transport = Transport::Stream;

    fn raw(_: &StreamRequest) -> Wire {
        Wire::RawNdjson
    }

    fn frames(wanted: &StreamRequest) -> Wire {
        if wanted.msgpack {
            Wire::MessagePackStream
        } else {
            Wire::JsonNdjson
        }
    }

    fn content_type(wire: Wire) -> &'static str {
        if wire == Wire::MessagePackStream {
            "application/msgpack"
        } else {
            "application/x-ndjson"
        }
    }

    /// The cursor to resume from stands in the head.
    fn beginning(_: &Session, _: Option<&str>) -> Option<Bytes> {
        None
    }
}
