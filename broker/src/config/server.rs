//! `[server]`: where the broker listens and whom it lets in.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use ipnet::IpNet;

use super::node_name::NodeName;
use super::origin::AllowedOrigin;
use super::proxies::ClientAddressHeader;
use super::section::settings;
use super::value::{Bounds, Expected, Given, Setting, integer, quoted};

settings! {
    /// Where the broker listens and whom it lets in.
    pub struct ServerSettings {
        /// The addresses to listen on. `localhost:8090` and `:8090` mean loopback; `0.0.0.0:8090` means every IPv4
        /// address of the machine. A public address needs authentication, or `allow_public_without_authentication`.
        listen: Vec<SocketAddr>, "listen" = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))];
        /// What this broker is called among those that share an engine with it (`widecast nodes`); by default the name of the
        /// machine, and the port. No two need the same.
        node: NodeName, "node" = NodeName::default();
        /// How many worker threads serve connections; `"cores"` means one per core.
        workers: Workers, "workers" = Workers::PerCore;
        /// How many connections may be open at once; further ones are closed at once.
        max_connections: usize, "max_connections" = 100_000, within 1..=100_000_000;
        /// How many connections the kernel keeps waiting to be accepted, per address.
        backlog: u32, "backlog" = 2048, within 1..=65_535;
        /// Whether to listen on a public address although no authentication is configured, so that anybody who
        /// reaches it may read and write every channel.
        allow_public_without_authentication: bool, "allow_public_without_authentication" = false;
        /// Web origins whose pages may connect, besides the broker's own: `https://example.com`,
        /// `https://*.example.com`, `capacitor://localhost` of an app in a web view, `null`, or `*` for all. While the broker listens on loopback only, pages served
        /// from loopback may connect, too, and behind a proxy its own public name has to be here. Cookies and the bridge are for the pages of
        /// origins that are written out, and not for those that a star stands for.
        allowed_origins: Vec<AllowedOrigin>, "allowed_origins" = Vec::new();
        /// The addresses of proxies, such as `10.0.0.7` or `10.0.0.0/8`, that are believed when they say for which client they
        /// ask. The client's address decides whose share of the broker it takes (`limits.…_per_address`).
        trusted_proxies: Vec<IpNet>, "trusted_proxies" = Vec::new();
        /// The header in which trusted proxies say for which client they ask: `x-forwarded-for` or `forwarded`. They have to
        /// set or extend it in every request; the other header is ignored.
        client_address_header: ClientAddressHeader, "client_address_header" = ClientAddressHeader::XForwardedFor;
        /// Whether each connection of `server.trusted_proxies` begins with a header of the PROXY protocol (version 1 or 2), which says
        /// for which client it was passed on. Other connections must not begin with one.
        proxy_protocol: bool, "proxy_protocol" = false;
        /// Whether the demos are served at `/demos/`: `true`, `false`, or `"loopback"` for as long as the broker
        /// listens on loopback only. Their channels begin with `demos:`; where they are served and nothing says what
        /// `[namespace.demos]` is, it has `jsonp = true`, `history_messages = 4096` and `history_bytes = 33_554_432`. With authentication they
        /// work for whoever has the rights there; `true` gives all rights to everybody (`anonymous = ["*"]`).
        demos: Demos, "demos" = Demos::OnLoopback;
    }
}

impl ServerSettings {
    /// The first address that others than this machine can reach, if there is one.
    pub fn public_address(&self) -> Option<SocketAddr> {
        let is_public = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        self.listen.iter().find(is_public).copied()
    }

    /// Whether the demos are served.
    pub fn serves_demos(&self) -> bool {
        match self.demos {
            Demos::Always => true,
            Demos::Never => false,
            Demos::OnLoopback => self.public_address().is_none(),
        }
    }
}

/// When the demos are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demos {
    /// Wherever the broker listens.
    Always,
    /// Not at all.
    Never,
    /// As long as no other machine can reach the broker.
    OnLoopback,
}

impl Setting for Demos {
    fn assign(&mut self, given: &Given, within: &Bounds) -> Result<(), Expected> {
        if matches!(given, Given::Text(word) | Given::Word(word) if word == "loopback") {
            *self = Self::OnLoopback;
            return Ok(());
        }
        let mut always = false;
        always
            .assign(given, within)
            .map_err(|_| Expected("true, false or \"loopback\"".to_owned()))?;
        *self = if always { Self::Always } else { Self::Never };
        Ok(())
    }

    fn shown(&self) -> String {
        match self {
            Self::Always => true.to_string(),
            Self::Never => false.to_string(),
            Self::OnLoopback => quoted("loopback"),
        }
    }
}

/// How many worker threads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core that the process may use.
    PerCore,
    /// So many.
    Fixed(NonZeroUsize),
}

impl Workers {
    /// The number on this machine.
    pub fn count(self) -> usize {
        match self {
            Self::PerCore => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            Self::Fixed(count) => count.get(),
        }
    }
}

impl Setting for Workers {
    fn assign(&mut self, given: &Given, _: &Bounds) -> Result<(), Expected> {
        if matches!(given, Given::Text(word) | Given::Word(word) if word == "cores") {
            *self = Self::PerCore;
            return Ok(());
        }
        let fixed = integer(given, &Some(1..=1024)).ok();
        *self = fixed
            .and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?))
            .map(Self::Fixed)
            .ok_or_else(|| Expected("\"cores\" or a whole number from 1 to 1024".to_owned()))?;
        Ok(())
    }

    fn shown(&self) -> String {
        match self {
            Self::PerCore => quoted("cores"),
            Self::Fixed(count) => count.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_not_public() {
        let public = |address: &str| {
            let listen = vec![address.parse().unwrap()];
            ServerSettings {
                listen,
                ..ServerSettings::default()
            }
            .public_address()
            .is_some()
        };
        assert!(!public("127.0.0.9:1"));
        assert!(!public("[::1]:1"));
        assert!(!public("[::ffff:127.0.0.1]:1"));
        assert!(public("0.0.0.0:1"));
        assert!(public("[::]:1"));
        assert!(public("192.168.0.1:1"));
    }
}
