//! The broker as a client sees it: its address, the paths under it, and what its refusals mean.

use std::fmt;
use std::str::FromStr;

use awc::http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// What stands for itself in a path or query (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as a part of a path or a query.
pub(super) fn encoded(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

/// The address of a broker: `http://host[:port][/path]`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerUrl(String);

impl BrokerUrl {
    /// The broker of this machine, with the default settings.
    pub(super) const DEFAULT: &'static str = "http://127.0.0.1:8080";

    /// The address of something the broker offers; `path` begins with a slash.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The same for a WebSocket.
    pub(super) fn join_websocket(&self, path: &str) -> String {
        let rest = self.0.strip_prefix("http://").unwrap_or(&self.0);
        format!("ws://{rest}{path}")
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || format!("expected an address such as {}", Self::DEFAULT);
        if text.starts_with("https://") {
            return Err(
                "this command speaks HTTP without TLS only: use the http:// address".to_owned(),
            );
        }
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let is_base =
            uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none();
        if !is_base {
            return Err(expected());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// An RFC 9457 problem, as far as it is needed here.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    /// Whether the same request can succeed later.
    #[serde(default)]
    pub(super) retryable: bool,
}

impl Problem {
    /// Reads the body of an answer that is no success; whatever it is, it says something.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| Self {
            title: Some(format!("status {status}")),
            detail: None,
            code: None,
            retryable: matches!(status, 408 | 425 | 429 | 500..=599),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.detail.as_deref().or(self.title.as_deref());
        f.write_str(said.unwrap_or("no reason given"))?;
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_with_a_host_and_may_have_a_path() {
        let url: BrokerUrl = "http://[::1]:8080/widecast/".parse().unwrap();
        assert_eq!(url.join("/v1/poll"), "http://[::1]:8080/widecast/v1/poll");
        assert_eq!(
            url.join_websocket("/v1/ws"),
            "ws://[::1]:8080/widecast/v1/ws"
        );
        for bad in [
            "localhost:8080",
            "ws://a",
            "http://",
            "https://a",
            "http://a?b",
        ] {
            assert!(bad.parse::<BrokerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_problem_says_its_detail_and_code() {
        let problem = Problem::read(403, br#"{"title":"T","detail":"d","code":"c"}"#);
        assert_eq!(problem.to_string(), "d (c)");
        assert!(!problem.retryable);
        let problem = Problem::read(502, b"<html>");
        assert_eq!(problem.to_string(), "status 502");
        assert!(problem.retryable);
    }
}
