//! The errors of the library, and what to do about each.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::http;
use serde::Deserialize;
use thiserror::Error;
use widecast_protocol::cursor::CursorError;
use widecast_protocol::name::NameError;
use widecast_protocol::{Code, DecodeError};

/// Why a request to this client failed.
///
/// Each error prints one level; its causes are in [`source`](StdError::source).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no address of a broker.
    #[error(
        "{0:?} is no address of a broker: expected one such as http://127.0.0.1:8080 or https://push.example.com"
    )]
    BadUrl(String),
    /// A name or key is not as the broker wants it. Nothing was sent.
    #[error("the name or key cannot be used")]
    BadName(#[source] NameError),
    /// The token has a character that no header can carry. Nothing was sent.
    #[error(
        "the token cannot be used: it is empty, or has a blank or a character that is not ASCII"
    )]
    BadToken,
    /// Nothing was named to be heard.
    #[error("expected at least one channel to subscribe to")]
    NoChannel,
    /// The text is no cursor. Nothing was sent.
    #[error("the cursor cannot be used")]
    BadCursor(#[source] CursorError),
    /// The value cannot be written as JSON. Nothing was sent.
    #[error("the value cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// The data is not in the form that it is said to have. Nothing was sent.
    #[error("the data is not in the form that it should have")]
    BadData(#[source] DecodeError),
    /// The data that was received is no value of the type that was asked for.
    #[error("the data is no value of the type that was asked for")]
    Decode(#[source] serde_json::Error),
    /// The authorities that are to be trusted cannot be read.
    #[error("cannot use TLS: {0}")]
    Tls(String),
    /// The peer's certificate is not trusted.
    #[error(
        "the certificate of {url} is not trusted: install its authority on this machine, or name it with `authorities`"
    )]
    Untrusted {
        /// The address.
        url: String,
        /// What TLS says.
        source: BoxError,
    },
    /// The broker does not answer.
    #[error("cannot reach the broker at {url}: is it running, and is the address right?")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        source: BoxError,
    },
    /// The broker did not answer in time.
    #[error("no answer from {url} within {} s", .patience.as_secs())]
    NoAnswer {
        /// The address.
        url: String,
        /// How long was waited.
        patience: Duration,
    },
    /// The connection ended too early.
    #[error("the connection ended: {0}")]
    Cut(String),
    /// The broker refuses.
    #[error("the broker refuses: {0}")]
    Refused(Refusal),
    /// The server that answers does not speak Widecast's protocol.
    #[error("expected {0}: is this the address of a Widecast broker?")]
    Protocol(&'static str),
    /// More events wait than may, and commands wait for answers behind them. What became of the command is not known.
    #[error(
        "the events of the session are not read: read them while commands are awaited, for example in a task of its own"
    )]
    EventsUnread,
    /// The session is over: its [`Events`](crate::Events) were dropped, or ended with an error.
    #[error("the session is over: its events were dropped or have ended")]
    Closed,
}

/// A cause of another library.
pub type BoxError = Box<dyn StdError + Send + Sync>;

impl Error {
    /// Whether the same can succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::Cut(_) => true,
            Self::Refused(refusal) => refusal.is_retryable,
            _ => false,
        }
    }

    /// The broker's code, if the broker refused and named one: [`Code`] lists all that this version knows.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref(),
            _ => None,
        }
    }

    /// How long to wait until the same can succeed, if the broker refused and said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether a client that was connected has no reason to try again: the broker itself has said so. A proxy that answers
    /// without a code may do so only while its broker is being replaced.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(refusal) if !refusal.is_retryable && refusal.code.is_some())
    }
}

/// The broker's refusal, which is the same for all transports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The stable name of the reason, such as `forbidden`, if the broker named one. A proxy does not.
    pub code: Option<String>,
    /// The reason for people.
    pub reason: String,
    /// Whether the same request can succeed later.
    pub is_retryable: bool,
    /// How long to wait until the same can succeed, if the broker has said so.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal that the client knows beforehand, so that it does not ask the broker.
    pub(crate) fn foreseen(code: Code, reason: String) -> Self {
        Self {
            code: Some(code.as_str().to_owned()),
            reason,
            is_retryable: code.retryable(),
            retry_after: None,
        }
    }

    /// Reads an answer that is no success: its body is a problem (RFC 9457), or whatever a proxy says.
    pub(crate) fn read(answer: &http::response::Parts, body: &[u8]) -> Self {
        let status = answer.status.as_u16();
        let refusal = match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => problem.into(),
            Err(_) => Self {
                code: None,
                reason: format!("status {status}"),
                is_retryable: matches!(status, 408 | 425 | 429 | 500..=599),
                retry_after: None,
            },
        };
        Self {
            retry_after: retry_after(&answer.headers),
            ..refusal
        }
    }
}

/// The seconds of `Retry-After` ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)). The broker sends
/// no date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} ({code})", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// A problem (RFC 9457), as far as it is needed here.
#[derive(Debug, Deserialize)]
pub(crate) struct Problem {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    #[serde(default)]
    retryable: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let reason = problem.detail.or(problem.title);
        Self {
            code: problem.code,
            reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
            is_retryable: problem.retryable,
            retry_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, retry_after: Option<&str>, body: &[u8]) -> Refusal {
        let mut answer = http::Response::builder().status(status);
        if let Some(after) = retry_after {
            answer = answer.header(RETRY_AFTER, after);
        }
        let (answer, ()) = answer.body(()).unwrap().into_parts();
        Refusal::read(&answer, body)
    }

    #[test]
    fn a_refusal_says_when_the_same_can_succeed() {
        let body = br#"{"title":"T","code":"share_exceeded","retryable":true}"#;
        let after = |text| read(429, text, body).retry_after;
        assert_eq!(after(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(after(Some("Fri, 31 Dec 2100 23:59:59 GMT")), None);
        assert_eq!(after(None), None);
        let by_a_proxy = read(503, Some("2"), b"<html>");
        assert_eq!(by_a_proxy.retry_after, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_refusal_says_its_reason_and_code() {
        let refusal = read(403, None, br#"{"title":"T","detail":"d","code":"c"}"#);
        assert_eq!(refusal.to_string(), "d (c)");
        assert!(!refusal.is_retryable);
        let refusal = read(502, None, b"<html>");
        assert_eq!(refusal.to_string(), "status 502");
        assert!(refusal.is_retryable);
    }

    #[test]
    fn only_what_may_pass_is_worth_another_try() {
        let refused = |status, body: &[u8]| Error::Refused(read(status, None, body));
        let forbidden = refused(403, br#"{"title":"T","code":"forbidden"}"#);
        assert!(forbidden.is_final() && !forbidden.is_retryable());
        assert_eq!(forbidden.code(), Some("forbidden"));
        let by_a_proxy = refused(404, b"<html>");
        assert!(!by_a_proxy.is_final() && !by_a_proxy.is_retryable());
        let overloaded = refused(
            503,
            br#"{"title":"T","code":"overloaded","retryable":true}"#,
        );
        assert!(!overloaded.is_final() && overloaded.is_retryable());
        let cut = Error::Cut("reset".to_owned());
        assert!(!cut.is_final() && cut.is_retryable());
    }
}
