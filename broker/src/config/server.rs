//! `[server]`: where the broker listens and whom it lets in.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use super::section::settings;
use super::value::{Bounds, Expected, Given, Setting, Word, integer, quoted};

settings! {
    /// Where the broker listens and whom it lets in.
    pub struct ServerSettings {
        /// The addresses to listen on. `localhost:8090` and `:8090` mean loopback; `0.0.0.0:8090` means every IPv4
        /// address of the machine. A public address needs authentication, or `allow_public_without_authentication`.
        listen: Vec<SocketAddr>, "listen" = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))];
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
        /// `https://*.example.com`, `null`, or `*` for all. While the broker listens on loopback only, pages served
        /// from loopback may connect, too, and behind a proxy its own public name has to be here.
        allowed_origins: Vec<AllowedOrigin>, "allowed_origins" = Vec::new();
        /// Whether the demos are served at `/demos/`: `true`, `false`, or `"loopback"` for as long as the broker
        /// listens on loopback only. Their channels begin with `demos:`; where they are served and nothing says what
        /// `[namespace.demos]` is, it has `jsonp = true`, `history_messages = 4096` and `history_bytes = 33_554_432`.
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

/// A web origin, or several, whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// All origins.
    Any,
    /// Exactly this origin, in the form browsers send it: lower case, no default port, no path; or `null`.
    Exact(String),
    /// Every origin between `scheme://` and `.domain[:port]`, at any depth.
    Subdomains {
        /// The scheme and `://`.
        scheme: String,
        /// A dot, the domain, and the port if it is not the default.
        suffix: String,
    },
}

impl AllowedOrigin {
    /// Whether an `Origin` header with this value is meant.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.eq_ignore_ascii_case(origin),
            Self::Subdomains { scheme, suffix } => {
                let origin = origin.to_ascii_lowercase();
                origin
                    .strip_prefix(scheme.as_str())
                    .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                    .is_some_and(|label| !label.is_empty() && !label.contains(['/', '@', ':']))
            }
        }
    }
}

impl Word for AllowedOrigin {
    const EXPECTED: &'static str = "a web origin without a path, such as https://example.com or https://*.example.com, or * for all";

    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text == "*" {
            return Some(Self::Any);
        }
        if text == "null" {
            return Some(Self::Exact(text));
        }
        let (scheme, host) = text.split_once("://")?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        let plain = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']);
        match host.strip_prefix('*') {
            Some(suffix) if suffix.len() > 1 && suffix.starts_with('.') && plain(suffix) => {
                Some(Self::Subdomains {
                    scheme: format!("{scheme}://"),
                    suffix: suffix.to_owned(),
                })
            }
            None if plain(host) => Some(Self::Exact(format!("{scheme}://{host}"))),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Exact(exact) => exact.clone(),
            Self::Subdomains { scheme, suffix } => format!("{scheme}*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        AllowedOrigin::read(pattern).unwrap().allows(origin)
    }

    #[test]
    fn an_origin_pattern_allows_what_it_says_and_nothing_else() {
        assert!(allows("https://Example.com:443", "https://example.com"));
        assert!(!allows("https://example.com", "http://example.com"));
        assert!(!allows("https://example.com", "https://example.com.evil"));
        assert!(allows("https://*.example.com", "https://a.b.example.com"));
        assert!(!allows("https://*.example.com", "https://example.com"));
        assert!(!allows("https://*.example.com", "https://evilexample.com"));
        assert!(!allows(
            "https://*.example.com",
            "https://evil/.example.com"
        ));
        assert!(allows("*", "null"));
        assert!(allows("null", "null"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in [
            "",
            "example.com",
            "https://",
            "https://a/b",
            "ftp://a",
            "https://*",
            "https://*.",
            "https://a.*",
        ] {
            assert_eq!(AllowedOrigin::read(bad), None, "{bad}");
        }
    }

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
