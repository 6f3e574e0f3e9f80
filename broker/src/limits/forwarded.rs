//! The address of a client behind proxies, as they tell it.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::{ClientAddressHeader, ServerSettings};

/// The proxies that are believed, and how they say for whom they ask.
#[derive(Debug, Clone)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: ClientAddressHeader,
}

impl From<&ServerSettings> for Proxies {
    fn from(settings: &ServerSettings) -> Self {
        Self {
            trusted: settings.trusted_proxies.clone(),
            header: settings.client_address_header,
        }
    }
}

impl Proxies {
    /// Whether it is the address of a proxy that is believed.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The address of the client whose request came from `peer`: the last address of the header that is not a trusted proxy. The
    /// client may have forged the addresses before it.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ClientAddressHeader::XForwardedFor => ("x-forwarded-for", hop),
            ClientAddressHeader::Forwarded => ("forwarded", forwarded_for),
        };
        let name = HeaderName::from_static(name);
        let lines: Vec<&[u8]> = headers.get_all(name).map(HeaderValue::as_bytes).collect();
        let mut hops = lines.into_iter().rev().flat_map(FromBehind::new);
        while self.trusts(client)
            && let Some(next) = hops
                .next()
                .and_then(|hop| read(std::str::from_utf8(hop).ok()?))
        {
            client = next;
        }
        client
    }
}

/// The elements of a list, the last one first. A comma in a quoted string belongs to its element: a proxy may quote what the client has
/// chosen, such as the name by which it calls the host. It is read from behind because a client may leave a quote open before what a
/// proxy adds.
struct FromBehind<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> FromBehind<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self { rest: Some(line) }
    }
}

impl<'a> Iterator for FromBehind<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut is_quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(rest, at) => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    self.rest = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text[..at].iter().rev();
    before.take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// An address, with or without a port, an IPv6 address in brackets or bare.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address: IpAddr = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// The `for` of an element ([RFC 7239, section 4](https://www.rfc-editor.org/rfc/rfc7239#section-4)).
///
/// `None` if there is none, or more than one, or the element is not as the standard has it.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in pairs(element)? {
        let Some((name, value)) = pair.trim().split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    let quoted = || value.strip_prefix('"')?.strip_suffix('"');
    hop(quoted().unwrap_or(value))
}

/// The parts of an element between its semicolons, but for those in quoted strings. `None` if a quoted string has no end.
fn pairs(element: &str) -> Option<Vec<&str>> {
    let (mut begin, mut is_quoted, mut is_escaped) = (0, false, false);
    let mut pairs = Vec::new();
    for (at, byte) in element.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b';' if !is_quoted => {
                pairs.push(&element[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    pairs.push(&element[begin..]);
    (!is_quoted).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXIES: [&str; 3] = ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"];

    fn client(peer: &str, header: ClientAddressHeader, lines: &[&'static str]) -> String {
        let proxies = Proxies {
            trusted: PROXIES
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
            header,
        };
        let mut headers = HeaderMap::new();
        let name = match header {
            ClientAddressHeader::XForwardedFor => "x-forwarded-for",
            ClientAddressHeader::Forwarded => "forwarded",
        };
        for line in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(line),
            );
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_clients() {
        let client = |peer: &str, lines: &[&'static str]| {
            client(peer, ClientAddressHeader::XForwardedFor, lines)
        };
        assert_eq!(client("10.1.2.3", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("::ffff:10.1.2.3", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            client("10.1.2.3", &["9.9.9.9, 192.0.2.1, 10.9.9.9"]),
            "192.0.2.1"
        );
        assert_eq!(
            client("10.1.2.3", &["9.9.9.9", "192.0.2.1", "10.9.9.9"]),
            "192.0.2.1"
        );
        assert_eq!(client("10.1.2.3", &["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(client("10.1.2.3", &["2001:db9::1"]), "2001:db9::1");
        assert_eq!(client("2001:db8::9", &["[2001:db9::1]:80"]), "2001:db9::1");
        assert_eq!(client("127.0.0.1", &["[2001:db9::1]"]), "2001:db9::1");
    }

    #[test]
    fn nobody_else_is_believed() {
        let client = |peer: &str, lines: &[&'static str]| {
            client(peer, ClientAddressHeader::XForwardedFor, lines)
        };
        assert_eq!(client("192.0.2.9", &["192.0.2.1"]), "192.0.2.9");
        // What a proxy does not say, or not so that it can be understood, is the proxy's own.
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["192.0.2.1, unknown"]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["192.0.2.1, "]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["192.0.2.1, 10.9.9.9,x"]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["10.4.4.4"]), "10.4.4.4");
    }

    #[test]
    fn the_header_of_the_standard_is_understood() {
        let client =
            |lines: &[&'static str]| client("127.0.0.1", ClientAddressHeader::Forwarded, lines);
        assert_eq!(client(&["for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            client(&["proto=https; For=\"192.0.2.1:80\" ;by=x"]),
            "192.0.2.1"
        );
        assert_eq!(
            client(&["for=9.9.9.9, for=\"[2001:db9::1]:80\""]),
            "2001:db9::1"
        );
        assert_eq!(client(&["for=\"", "for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["for=\", for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["for=_hidden"]), "127.0.0.1");
        assert_eq!(client(&["for=9.9.9.9;for=192.0.2.1"]), "127.0.0.1");
        assert_eq!(client(&["by=192.0.2.1"]), "127.0.0.1");
    }

    #[test]
    fn what_a_proxy_quotes_of_the_client_is_no_address() {
        // The client has called the broker by the name `x,for=9.9.9.9` or `x;for=9.9.9.9`, which are names in a URL.
        for line in [
            r#"for=192.0.2.1;host="x,for=9.9.9.9""#,
            r#"proto=http;host="x;for=9.9.9.9";by=10.1.1.1;for=192.0.2.1"#,
            r#"for=8.8.8.8, host="x\",for=9.9.9.9;y";for=192.0.2.1"#,
            r#"for=192.0.2.1;host="x\";for=9.9.9.9""#,
            r#"for=192.0.2.1;host="x\\""#,
            r#"for="8.8.8.8, for=192.0.2.1;host="x, for=9.9.9.9", for=10.1.1.1"#,
        ] {
            let client = client("127.0.0.1", ClientAddressHeader::Forwarded, &[line]);
            assert_eq!(client, "192.0.2.1", "{line}");
        }
    }
}
