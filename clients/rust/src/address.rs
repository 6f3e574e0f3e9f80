//! The address of a broker, and the paths below it.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::Authority;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Error;

/// The characters that stand for themselves in a path or query (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as a part of a path or a query.
pub(crate) fn encoded(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

/// The address of a broker: `http://host[:port][/path]` or `https://…`, without a slash at the end. The address that a
/// WebSocket would have means the same broker.
///
/// ```
/// let url: widecast_client::BrokerUrl = "https://push.example.com/".parse()?;
/// assert_eq!(url.to_string(), "https://push.example.com");
/// # Ok::<(), widecast_client::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    is_tls: bool,
    /// All behind `://`.
    place: String,
}

impl BrokerUrl {
    /// The broker of this machine, with the default settings.
    pub const DEFAULT: &'static str = "http://127.0.0.1:8080";

    /// Whether the broker is called over TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The address of something that the broker offers; `path` begins with a slash.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// The same for a WebSocket.
    pub(crate) fn join_websocket(&self, path: &str) -> String {
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
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What comes before an @ may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, place)| place);
        let bad = || Error::BadUrl(shown.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let is_tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(bad()),
        };
        let is_place = uri.authority().is_some_and(is_place) && uri.query().is_none();
        let place = text.split_once("://").map(|(_, place)| place);
        // A fragment is dropped when the text is read.
        let place = place.filter(|place| is_place && !place.contains('#'));
        let place = place.ok_or_else(bad)?.trim_end_matches('/').to_owned();
        Ok(Self { is_tls, place })
    }
}

/// Whether it is a host, perhaps with a port, and no name or password of a user, which nobody would be shown.
fn is_place(authority: &Authority) -> bool {
    let (text, host) = (authority.as_str(), authority.host());
    match authority.port_u16() {
        Some(port) => {
            port > 0
                && text
                    .rsplit_once(':')
                    .is_some_and(|(before, _)| before == host)
        }
        // Also for a port that is none.
        None => !host.is_empty() && text == host,
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
        for bad in [
            "localhost:8080",
            "ftp://a",
            "http://",
            "http://a?b",
            "http://a#b",
            "http://a:80800",
            "http://a:x",
            "http://a:",
            "http://a:0",
            "http://[::1]:65536",
        ] {
            assert!(bad.parse::<BrokerUrl>().is_err(), "{bad}");
        }
        for secret in ["http://user:secret@a", "http://secret@a:80"] {
            let error = secret.parse::<BrokerUrl>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
