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

/// The address of a broker: `http://host[:port][/path]` or `https://…`, without a slash at the end. The address that a
/// WebSocket would have means the same broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerUrl {
    is_tls: bool,
    /// All behind `://`.
    place: String,
}

impl BrokerUrl {
    /// The broker of this machine, with the default settings.
    pub(super) const DEFAULT: &'static str = "http://127.0.0.1:8080";

    /// Whether the broker is called over TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The address of something the broker offers; `path` begins with a slash.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// The same for a WebSocket.
    pub(super) fn join_websocket(&self, path: &str) -> String {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.place)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.place)
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || {
            format!(
                "expected an address such as {} or https://push.example.com",
                Self::DEFAULT
            )
        };
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let is_tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(expected()),
        };
        let place = text.split_once("://").map(|(_, place)| place);
        let place = place.filter(|_| uri.host().is_some() && uri.query().is_none());
        let place = place.ok_or_else(expected)?.trim_end_matches('/').to_owned();
        Ok(Self { is_tls, place })
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
    fn an_address_has_a_scheme_and_a_host_and_may_have_a_path() {
        let url: BrokerUrl = "http://[::1]:8080/widecast/".parse().unwrap();
        assert_eq!(url.join("/v1/poll"), "http://[::1]:8080/widecast/v1/poll");
        assert_eq!(
            url.join_websocket("/v1/ws"),
            "ws://[::1]:8080/widecast/v1/ws"
        );
        for (text, is_tls) in [("ws://a", false), ("https://a", true), ("wss://a", true)] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!(url.is_tls(), is_tls, "{text}");
            let expected = if is_tls { "https://a/x" } else { "http://a/x" };
            assert_eq!(url.join("/x"), expected);
        }
        for bad in ["localhost:8080", "ftp://a", "http://", "http://a?b"] {
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
