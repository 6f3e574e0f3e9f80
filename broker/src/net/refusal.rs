//! The answers that the listener gives by itself, to bytes that never become a request.

use bytes::Bytes;
use widecast_protocol::Code;

use crate::limits::Exceeded;
use crate::memory_budget::GIVEN_UP;

/// Why a request or connection is refused before the application sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestRefusal {
    /// The bytes that have come are no head of a request.
    NoRequest,
    /// The request is of another version of HTTP.
    OtherVersion,
    /// A line of the head is no header field.
    NoField,
    /// The value of a header field has what no value may have.
    NoValue,
    /// The target is longer than a target may be.
    TargetTooLong,
    /// `Host` is missing, or there are several.
    NoHost,
    /// It cannot be told what the connection is to be used for.
    NoOptions,
    /// It cannot be told where the body ends.
    NoLength,
    /// The head is larger than a head may be.
    HeadTooLarge,
    /// The head did not come in time.
    HeadTimeout,
    /// All unfinished requests take too much memory, and this head takes most of it.
    Overloaded,
    /// The broker has as many connections as it may.
    TooManyConnections,
    /// The clients of the address have as many connections as they may, or open too many.
    Share(Exceeded),
}

/// What every answer of the application has, too, against pages that load it for what it is not. Any page may read why it is refused, and when
/// to try again: from which page a request comes is not known here, so that one that is sent with cookies stays unread.
const FOR_PAGES: &str = "x-content-type-options: nosniff\r\ncross-origin-resource-policy: same-site\r\n\
     access-control-allow-origin: *\r\naccess-control-expose-headers: Retry-After\r\n";

impl RequestRefusal {
    const fn code(self) -> Code {
        match self {
            Self::NoRequest
            | Self::OtherVersion
            | Self::NoField
            | Self::NoValue
            | Self::NoHost
            | Self::NoOptions
            | Self::NoLength => Code::InvalidRequest,
            Self::TargetTooLong => Code::UrlTooLong,
            Self::HeadTooLarge => Code::HeadTooLarge,
            Self::HeadTimeout => Code::RequestTimeout,
            Self::Overloaded => Code::Overloaded,
            Self::TooManyConnections => Code::TooManyConnections,
            Self::Share(_) => Code::ShareExceeded,
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Share(exceeded) => exceeded.detail(),
            Self::NoRequest => "what has come is no request of HTTP/1.1",
            Self::OtherVersion => {
                "the broker speaks HTTP/1.1 and HTTP/1.0, and no other version of HTTP"
            }
            Self::NoField => {
                "each line of a head has to be of the form Name: value, without a space before the name or the colon"
            }
            Self::NoValue => {
                "the value of a header field may have no control characters but tabs, and has to end with its line"
            }
            Self::TargetTooLong => "the path and query of a request may have 65534 bytes",
            Self::NoHost => "a request of HTTP/1.1 has exactly one Host",
            Self::NoOptions => "Connection and Upgrade are lists of words of ASCII",
            Self::NoLength => {
                "a body has either one Content-Length, or Transfer-Encoding: chunked and nothing else"
            }
            Self::HeadTooLarge => "a request has at most 96 header fields and 131072 bytes of them",
            Self::HeadTimeout => "the head of the request did not come within timeouts.head_ms",
            Self::Overloaded => GIVEN_UP,
            Self::TooManyConnections => "server.max_connections are open: try again in a moment",
        }
    }

    /// How long the client is to wait before it tries again, if another try makes sense.
    fn retry_after_seconds(self) -> Option<u64> {
        match self {
            Self::Share(Exceeded { wait, .. }) => Some(wait.as_secs() + 1),
            Self::Overloaded | Self::TooManyConnections => Some(1),
            _ => None,
        }
    }

    /// The whole answer, problem included.
    pub(super) fn answer(self) -> Bytes {
        let code = self.code();
        let (status, title, detail) = (code.http_status(), code.meaning(), self.detail());
        let reason = actix_web::http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let retry = self.retry_after_seconds();
        let retry = retry.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
        let (name, retryable) = (code.as_str(), code.retryable());
        let body = format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"detail\":\"{detail}\",\"code\":\"{name}\",\"retryable\":{retryable}}}"
        );
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
             cache-control: no-store\r\n{FOR_PAGES}{retry}connection: close\r\n\r\n{body}"
        );
        answer.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_a_problem() {
        for refusal in [
            RequestRefusal::NoRequest,
            RequestRefusal::OtherVersion,
            RequestRefusal::NoField,
            RequestRefusal::NoValue,
            RequestRefusal::TargetTooLong,
            RequestRefusal::NoHost,
            RequestRefusal::NoOptions,
            RequestRefusal::NoLength,
            RequestRefusal::HeadTooLarge,
            RequestRefusal::HeadTimeout,
            RequestRefusal::Overloaded,
            RequestRefusal::TooManyConnections,
        ] {
            let answer = String::from_utf8(refusal.answer().to_vec()).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", problem["status"])));
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        }
        let answer = RequestRefusal::HeadTooLarge.answer();
        insta::assert_snapshot!(String::from_utf8_lossy(&answer).replace('\r', ""), @r#"
        HTTP/1.1 431 Request Header Fields Too Large
        content-type: application/problem+json
        content-length: 212
        cache-control: no-store
        x-content-type-options: nosniff
        cross-origin-resource-policy: same-site
        access-control-allow-origin: *
        access-control-expose-headers: Retry-After
        connection: close

        {"type":"about:blank","title":"The head of the request is larger than the limit.","status":431,"detail":"a request has at most 96 header fields and 131072 bytes of them","code":"head_too_large","retryable":false}
        "#);
    }
}
