//! The one table of codes: what can go wrong, and what it means on every transport.
//!
//! HTTP status, WebSocket close code and whether it makes sense to try again all come from here, and
//! `docs/protocol.md` is checked against it.

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:literal, $close:literal, $retry:ident; )+) => {
        /// Why a request, a command or a session ended otherwise than asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $( $(#[doc = $doc])+ $variant, )+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The stable name, as it stands in problems and frames.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $code, )+ }
            }

            /// The status of an HTTP answer with this code.
            pub const fn http_status(self) -> u16 {
                match self { $( Self::$variant => $status, )+ }
            }

            /// The close code of a WebSocket that ends with this code
            /// ([RFC 6455, section 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4); from 4000 on: ours).
            pub const fn close_code(self) -> u16 {
                match self { $( Self::$variant => $close, )+ }
            }

            /// Whether the same request can succeed later, without being changed.
            pub const fn retryable(self) -> bool {
                match self { $( Self::$variant => codes!(@retry $retry), )+ }
            }

            /// What the code means, in one sentence: the title of a problem.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => codes!(@first $($doc)+), )+ }
            }
        }
    };
    (@retry later) => { true };
    (@retry never) => { false };
    (@first $doc:literal $($rest:literal)*) => { $doc.trim_ascii() };
}

codes! {
    /// The request is not as the broker expects it.
    InvalidRequest = "invalid_request", 400, 1002, never;
    /// The body or frame is not JSON.
    BadJson = "bad_json", 400, 1007, never;
    /// The body or frame is not MessagePack.
    BadMessagePack = "bad_msgpack", 400, 1007, never;
    /// Text is not UTF-8.
    BadUtf8 = "bad_utf8", 400, 1007, never;
    /// The cursor is not one that the broker made.
    BadCursor = "bad_cursor", 400, 4400, never;
    /// The name of the channel is empty, too long, `.` or `..`, or has control characters.
    BadChannelName = "bad_channel_name", 400, 4400, never;
    /// The name of the event is empty, too long, or has a line break or NUL.
    BadEventName = "bad_event_name", 400, 4400, never;
    /// The sender key is not 16 to 64 visible ASCII characters.
    BadSenderKey = "bad_sender_key", 400, 4400, never;
    /// The idempotency key is not 1 to 255 visible ASCII characters.
    BadIdempotencyKey = "bad_idempotency_key", 400, 4400, never;
    /// The command is unknown, or lacks a field.
    BadCommand = "bad_command", 400, 4400, never;
    /// The session has not joined the channel.
    NotSubscribed = "not_subscribed", 409, 4409, never;
    /// Credentials are missing, wrong or expired.
    Unauthorized = "unauthorized", 401, 4401, never;
    /// The credentials do not allow this, or the namespace does not.
    Forbidden = "forbidden", 403, 4403, never;
    /// An operator has put the client out, or has taken it from the channel.
    Kicked = "kicked", 403, 4403, never;
    /// The page's origin is not on the list of allowed origins.
    OriginNotAllowed = "origin_not_allowed", 403, 4403, never;
    /// There is nothing at this address.
    NotFound = "not_found", 404, 4404, never;
    /// There is no such session, or no longer.
    SessionNotFound = "session_not_found", 404, 4404, never;
    /// The address does not answer this method.
    MethodNotAllowed = "method_not_allowed", 405, 4400, never;
    /// What the client sends did not come in time.
    RequestTimeout = "request_timeout", 408, 4408, later;
    /// The head of the request is larger than the limit.
    HeadTooLarge = "head_too_large", 431, 1009, never;
    /// The address in the request is longer than the limit.
    UrlTooLong = "url_too_long", 414, 1009, never;
    /// The address wants a WebSocket of another version.
    UpgradeRequired = "upgrade_required", 426, 1002, never;
    /// The message, body or frame is larger than the limit.
    MessageTooLarge = "message_too_large", 413, 1009, never;
    /// The body's content type or encoding is not one that the broker reads.
    UnsupportedMediaType = "unsupported_media_type", 415, 1003, never;
    /// The session has joined as many channels as it may.
    TooManyChannels = "too_many_channels", 429, 4429, never;
    /// The client, or others at its address, have as much of the broker as one may.
    ShareExceeded = "share_exceeded", 429, 1013, later;
    /// The history no longer reaches back to the cursor: messages were lost.
    HistoryLost = "history_lost", 410, 4410, never;
    /// The client reads more slowly than its messages come.
    SlowConsumer = "slow_consumer", 503, 4413, later;
    /// The client did not answer the heartbeat.
    HeartbeatTimeout = "heartbeat_timeout", 408, 4408, later;
    /// The WebSocket frames break RFC 6455.
    WebSocketProtocol = "websocket_protocol", 400, 1002, never;
    /// The broker has as many connections as it may.
    TooManyConnections = "too_many_connections", 503, 1013, later;
    /// The broker has as much to hold as it may.
    Overloaded = "overloaded", 503, 1013, later;
    /// The broker is shutting down: reconnect, to another or to the next.
    ShuttingDown = "shutting_down", 503, 1001, later;
    /// The engine that keeps offsets and history cannot be reached.
    EngineUnavailable = "engine_unavailable", 503, 1013, later;
    /// What the broker has to ask about the client's rights cannot be reached.
    AuthorizationUnavailable = "authorization_unavailable", 503, 1013, later;
    /// The broker failed; its log says how.
    Internal = "internal", 500, 1011, later;
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn the_table_is_sound() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len(), "two codes share a name");
        for code in Code::ALL {
            let close = code.close_code();
            // RFC 6455, section 7.4.2: what an application may send.
            assert!(
                matches!(close, 1000..=1003 | 1007..=1014 | 4000..=4999),
                "{code}"
            );
            assert!((400..=599).contains(&code.http_status()), "{code}");
        }
    }
}
