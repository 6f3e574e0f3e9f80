//! The one form of every error over HTTP: [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details.
//!
//! What an error means comes from the table of codes; a problem adds what was wrong this time, and the headers that its
//! status demands. `type` is `about:blank`: `code` already identifies the problem, and a URL would have to be kept alive
//! for as long as any client compares it.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, ALLOW, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::{Serialize, Serializer};
use widecast_protocol::{Code, DecodeError};

use super::body::BodyEncoding;
use crate::limits::Exceeded;
use crate::session::Refusal;

/// How long a client waits before it tries again, where nobody knows better.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// The media type of a problem.
const CONTENT_TYPE: &str = "application/problem+json";

/// An error answer: a code of the table, and what was wrong this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    allow: Option<HeaderValue>,
    upgrade: Option<Upgrade>,
    /// How a body would be read that is encoded otherwise.
    accept_encoding: Option<BodyEncoding>,
    retry_after: Option<Duration>,
}

/// A protocol that a client is to speak, and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Upgrade {
    protocol: &'static str,
    version: &'static str,
}

/// The members of a problem, in the order they are shown.
#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    retryable: bool,
}

impl Problem {
    /// A problem with what was wrong this time, in words for the developer of the client.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            allow: None,
            upgrade: None,
            accept_encoding: None,
            retry_after: None,
        }
    }

    /// Nothing is at this path.
    pub fn not_found(path: &str) -> Self {
        Self::new(Code::NotFound, format!("nothing is at {path}"))
    }

    /// The path is right and the method is not; `allow` lists those that are.
    pub fn method_not_allowed(method: &str, allow: HeaderValue) -> Self {
        let allowed = allow.to_str().unwrap_or_default();
        let detail = format!("{method} is not possible here, only {allowed}");
        let mut problem = Self::new(Code::MethodNotAllowed, detail);
        problem.allow = Some(allow);
        problem
    }

    /// The address speaks this version of another protocol only.
    pub fn upgrade_required(protocol: &'static str, version: &'static str) -> Self {
        let detail = format!("only version {version} of {protocol} is spoken here");
        let mut problem = Self::new(Code::UpgradeRequired, detail);
        problem.upgrade = Some(Upgrade { protocol, version });
        problem
    }

    /// The body is encoded as it is not read; `accepted` says how it would be.
    pub(super) fn unsupported_encoding(detail: impl Into<String>, accepted: BodyEncoding) -> Self {
        let mut problem = Self::new(Code::UnsupportedMediaType, detail);
        problem.accept_encoding = Some(accepted);
        problem
    }

    /// Tells the client to wait this long, in full seconds, before it tries again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What was wrong this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The problem as JSON.
    pub fn to_json(&self) -> String {
        to_json(&self.body())
    }

    fn body(&self) -> ProblemBody<'_> {
        ProblemBody {
            r#type: "about:blank",
            title: self.code.meaning(),
            status: self.code.http_status(),
            detail: &self.detail,
            code: self.code.as_str(),
            retryable: self.code.retryable(),
        }
    }

    /// How long to wait before the same can succeed, where that is the broker's to say.
    pub fn wait(&self) -> Option<Duration> {
        let busy = matches!(self.code.http_status(), 429 | 503) && self.code.retryable();
        self.retry_after.or(busy.then_some(RETRY_AFTER_DEFAULT))
    }

    fn insert_headers(&self, response: &mut HttpResponseBuilder) {
        response.insert_header(("cache-control", "no-store"));
        if let Some(allow) = &self.allow {
            response.insert_header((ALLOW, allow.clone()));
        }
        if let Some(Upgrade { protocol, version }) = self.upgrade {
            // RFC 6455, section 4.4, and RFC 9110, section 15.5.22.
            response
                .insert_header((UPGRADE, protocol))
                .insert_header((SEC_WEBSOCKET_VERSION, version));
        }
        if let Some(accepted) = self.accept_encoding {
            // RFC 9110, section 15.5.16.
            response.insert_header((ACCEPT_ENCODING, accepted.name()));
        }
        if let Some(wait) = self.wait() {
            // The time is rounded up: a client that comes back too early is refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.insert_header((RETRY_AFTER, seconds));
        }
        if self.code == Code::Unauthorized {
            // RFC 9110, section 15.5.2: a 401 says how to authenticate.
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
    }
}

fn to_json(body: &ProblemBody<'_>) -> String {
    serde_json::to_string(body).expect("strings, a number and a bool are always JSON")
}

/// As part of an answer that has several outcomes.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body().serialize(serializer)
    }
}

impl From<(Code, String)> for Problem {
    fn from((code, detail): (Code, String)) -> Self {
        Self::new(code, detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(refusal.code, refusal.detail);
        problem.retry_after = refusal.retry_after;
        problem
    }
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Self {
        Refusal::from(exceeded).into()
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        self.insert_headers(&mut response);
        response.content_type(CONTENT_TYPE).body(self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_it_means_and_what_was_wrong() {
        let problem = Problem::new(Code::BadCursor, "expected a cursor");
        insta::assert_snapshot!(problem.to_json(), @r#"{"type":"about:blank","title":"The cursor is not one that the broker made.","status":400,"detail":"expected a cursor","code":"bad_cursor","retryable":false}"#);
        let response = problem.error_response();
        assert_eq!(response.status(), 400);
        assert_eq!(
            response.headers().get("content-type").unwrap(),
            CONTENT_TYPE
        );
        assert!(response.headers().get("retry-after").is_none());
    }

    #[test]
    fn a_busy_broker_says_when_to_come_back() {
        let problem = Problem::new(Code::EngineUnavailable, "redis is away");
        assert_eq!(
            problem
                .error_response()
                .headers()
                .get("retry-after")
                .unwrap(),
            "1"
        );
        let problem = problem.retry_after(Duration::from_millis(2_500));
        assert_eq!(
            problem
                .error_response()
                .headers()
                .get("retry-after")
                .unwrap(),
            "3"
        );
    }

    #[test]
    fn a_wrong_method_hears_the_right_ones() {
        let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
        let problem = Problem::method_not_allowed("DELETE", allow);
        assert_eq!(
            problem.error_response().headers().get("allow").unwrap(),
            "GET, HEAD, OPTIONS"
        );
        assert_eq!(
            problem.detail(),
            "DELETE is not possible here, only GET, HEAD, OPTIONS"
        );
    }

    #[test]
    fn missing_credentials_hear_how_to_give_them() {
        let problem = Problem::new(Code::Unauthorized, "no token");
        assert_eq!(
            problem
                .error_response()
                .headers()
                .get("www-authenticate")
                .unwrap(),
            "Bearer"
        );
    }

    #[test]
    fn every_code_has_a_status_that_http_knows() {
        for &code in Code::ALL {
            let problem = Problem::new(code, "");
            assert_eq!(problem.status_code().as_u16(), code.http_status());
        }
    }
}
