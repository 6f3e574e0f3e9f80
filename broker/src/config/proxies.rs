//! Which proxies are believed, and what they say.

use std::net::IpAddr;

use ipnet::IpNet;

use super::value::Word;

/// The header in which proxies say for which client they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddressHeader {
    /// The one that nearly all proxies set.
    XForwardedFor,
    /// That of the standard ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)).
    Forwarded,
}

impl Word for ClientAddressHeader {
    const EXPECTED: &'static str = "\"x-forwarded-for\" or \"forwarded\"";

    fn read(text: &str) -> Option<Self> {
        match &*text.to_ascii_lowercase() {
            "x-forwarded-for" => Some(Self::XForwardedFor),
            "forwarded" => Some(Self::Forwarded),
            _ => None,
        }
    }

    fn text(&self) -> String {
        let text = match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        };
        text.to_owned()
    }
}

impl Word for IpNet {
    const EXPECTED: &'static str =
        "an IP address or a network, such as 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32";

    fn read(text: &str) -> Option<Self> {
        let address = || {
            text.parse()
                .ok()
                .map(|ip: IpAddr| Self::from(ip.to_canonical()))
        };
        text.parse().ok().or_else(address)
    }

    fn text(&self) -> String {
        if self.prefix_len() == self.max_prefix_len() {
            self.addr().to_string()
        } else {
            self.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one() {
        let shown = |text: &str| <IpNet as Word>::read(text).map(|network| network.text());
        assert_eq!(shown("10.0.0.7").as_deref(), Some("10.0.0.7"));
        assert_eq!(shown("::ffff:10.0.0.7").as_deref(), Some("10.0.0.7"));
        assert_eq!(shown("10.0.0.0/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(shown("2001:db8::/32").as_deref(), Some("2001:db8::/32"));
        for bad in ["", "proxy.example", "10.0.0.0/33", "10.0.0.7:80"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
