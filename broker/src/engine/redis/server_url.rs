//! The URL of a server, of the Sentinels that know it, or of a cluster: what may stand in it besides the place.

use redis::RedisError;
use thiserror::Error;
use url::Url;

use super::{cluster, sentinels};
use crate::config::without_secrets;

/// The schemes of one server at an address.
const OF_ADDRESS: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];
/// The schemes of one server at a socket of this machine.
const OF_SOCKET: [&str; 3] = ["unix", "redis+unix", "valkey+unix"];

/// What is wrong with a URL. Nothing of a password is told.
#[derive(Debug, Error)]
pub enum UrlError {
    /// There is no scheme.
    #[error("it has no scheme")]
    NoScheme,
    /// The scheme is none of those that are known.
    #[error("its scheme is unknown")]
    UnknownScheme,
    /// A parameter is none of those that are known.
    #[error("its parameter `{given}` is unknown (known: {known})")]
    UnknownParameter {
        /// The name that was given.
        given: String,
        /// Those that are known.
        known: String,
    },
    /// There is a fragment.
    #[error("it has a `#`, behind which nothing is expected")]
    Fragment,
    /// What is to be a password has characters that end it.
    #[error(
        "it cannot be read: `/`, `?` and `#` in a password are written as %2F, %3F and %23, or the password is put into password_file"
    )]
    Password,
    /// It is no URL.
    #[error("it cannot be read ({0})")]
    Syntax(url::ParseError),
    /// The client crate cannot use it.
    #[error("{}", reason(.0))]
    Client(RedisError),
}

/// What the client crate says, without its kind of error.
fn reason(error: &RedisError) -> String {
    let text = error.to_string();
    let reason = text.split(" - ").next().unwrap_or_default();
    reason.to_owned()
}

/// A URL, without the name that it gives the server.
pub(super) struct ServerUrl {
    /// What the client crate knows of it.
    pub(super) url: String,
    /// The name (`?name=…`): the client crate does not know it.
    pub(super) name: Option<String>,
}

impl ServerUrl {
    /// Reads a URL. The places in it are left to whoever connects there.
    pub(super) fn read(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let is_socket = OF_SOCKET.contains(&scheme);
        let names_several = cluster::SCHEMES.fit(text) || sentinels::SCHEMES.fit(text);
        if !is_socket && !names_several && !OF_ADDRESS.contains(&scheme) {
            return Err(UrlError::UnknownScheme);
        }
        if let Some((_, fragment)) = rest.split_once('#') {
            return Err(if fragment.contains('@') {
                UrlError::Password
            } else {
                UrlError::Fragment
            });
        }
        let authority = rest.split('/').next().unwrap_or_default();
        if rest.contains('@') && !authority.contains('@') && !is_socket {
            return Err(UrlError::Password);
        }
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        if query.contains('@') && !is_socket {
            return Err(UrlError::Password);
        }
        let known: &[&str] = match (is_socket, names_several) {
            (true, _) => &["name", "db", "user", "pass", "protocol"],
            (_, true) => &["name"],
            _ => &["name", "protocol"],
        };
        let (mut name, mut others) = (None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if !known.contains(&key) {
                return Err(UrlError::UnknownParameter {
                    given: key.to_owned(),
                    known: known.join(", "),
                });
            }
            if key == "name" {
                name = name.or(Some(value.to_owned()));
            } else {
                others.push(parameter);
            }
        }
        if !names_several {
            Url::parse(place).map_err(UrlError::Syntax)?;
        }
        let mark = if others.is_empty() { "" } else { "?" };
        let url = format!("{place}{mark}{}", others.join("&"));
        Ok(Self { url, name })
    }
}

/// A URL as errors name it.
pub(super) fn shown(url: &str) -> String {
    if !url.contains("://") {
        // It may be anything, also a password.
        return "the URL".to_owned();
    }
    without_secrets(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        let read = ServerUrl::read(url).map(|read| read.url);
        read.unwrap_err().to_string()
    }

    #[test]
    fn what_is_unknown_in_a_url_is_named() {
        insta::assert_snapshot!(refusal("localhost:6379"), @"it has no scheme");
        insta::assert_snapshot!(refusal("redsi://a"), @"its scheme is unknown");
        insta::assert_snapshot!(refusal("redis://a?nmae=x"), @"its parameter `nmae` is unknown (known: name, protocol)");
        insta::assert_snapshot!(refusal("redis+cluster://a,b?name=x&protocol=3"), @"its parameter `protocol` is unknown (known: name)");
        insta::assert_snapshot!(refusal("unix:///s?password=x"), @"its parameter `password` is unknown (known: name, db, user, pass, protocol)");
        insta::assert_snapshot!(refusal("rediss://a#insecure"), @"it has a `#`, behind which nothing is expected");
        insta::assert_snapshot!(refusal("redis://a:70000"), @"it cannot be read (invalid port number)");
    }

    #[test]
    fn a_password_that_ends_early_is_not_told() {
        for url in [
            "redis://:sec/ret@a",
            "redis://:sec?ret@a",
            "redis://me:sec#ret@a",
        ] {
            let refusal = refusal(url);
            assert!(
                refusal.contains("%2F") && !refusal.contains("sec"),
                "{refusal}"
            );
            assert!(!shown(url).contains("sec"), "{}", shown(url));
        }
        assert_eq!(shown("me:secret@a"), "the URL");
    }

    #[test]
    fn the_name_is_taken_out() {
        for (text, url, name) in [
            ("redis://a", "redis://a", None),
            ("redis://a?name=x", "redis://a", Some("x")),
            (
                "rediss://a/1?protocol=3&name=x",
                "rediss://a/1?protocol=3",
                Some("x"),
            ),
            (
                "redis+sentinel://:p@a,b/main?name=x",
                "redis+sentinel://:p@a,b/main",
                Some("x"),
            ),
            ("unix:///s?name=x&pass=a@b", "unix:///s?pass=a@b", Some("x")),
        ] {
            let read = ServerUrl::read(text).unwrap();
            assert_eq!((&*read.url, read.name.as_deref()), (url, name));
        }
    }
}
