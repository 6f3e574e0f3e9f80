//! The URL of something that the broker itself calls.

use url::{Host, Url};

use super::value::Word;

/// A URL that the broker calls: over TLS, or on its own machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CalledUrl(String);

impl CalledUrl {
    /// No URL.
    pub(super) const fn none() -> Self {
        Self(String::new())
    }

    /// The URL, if there is one.
    pub fn url(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|url| !url.is_empty())
    }

    /// Whether it is called over TLS.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl Word for CalledUrl {
    const EXPECTED: &'static str = "a URL that begins with https://, or with http:// on this machine (localhost, 127.0.0.1 or [::1]), without a user, a password and a fragment";

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::none());
        }
        let url = Url::parse(text).ok()?;
        let is_near = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        // Whoever is between the broker and what it calls could read along, and answer in its place.
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_near);
        let is_plain =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        (is_safe && is_plain).then(|| Self(url.into()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_listen_to_is_called() {
        let shown = |text: &str| CalledUrl::read(text).map(|url| url.text());
        for good in [
            "https://login.example/.well-known/jwks.json",
            "https://login.example/keys?tenant=7",
            "http://localhost:3000/hook",
            "http://127.0.0.1/hook",
            "http://[::1]:3000/",
        ] {
            assert_eq!(shown(good).as_deref(), Some(good));
        }
        for bad in [
            "login.example",
            "http://login.example/keys",
            "http://localhost.evil.example/",
            "http://10.0.0.1/",
            "https://user:secret@login.example/",
            "https://login.example/#keys",
            "file:///etc/passwd",
            "https://",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
        assert_eq!(CalledUrl::none().url(), None);
    }
}
