//! Web origins as they are listed, in the form in which browsers send them.

use url::{Host, Url};

use super::value::Word;

/// Schemes under which no page ever has an origin of its own.
const NEVER: [&str; 7] = ["about", "blob", "data", "ftp", "javascript", "ws", "wss"];

/// A web origin, or several, whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// All origins.
    Any,
    /// Exactly this origin, in the form browsers send it: lower case, punycode, no default port, no path; or `null`.
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
    const EXPECTED: &'static str = "a web origin as browsers send it, with a scheme and without a path or a slash at the end, such as https://example.com, https://*.example.com or capacitor://localhost; null; or * for all";

    fn read(text: &str) -> Option<Self> {
        match text {
            "*" => return Some(Self::Any),
            "null" => return Some(Self::Exact(text.to_owned())),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if !is_scheme(&scheme) || NEVER.contains(&&*scheme) || !is_bare(authority) {
            return None;
        }
        match &*scheme {
            "http" | "https" => of_the_web(&scheme, authority),
            _ => of_an_app(&scheme, authority),
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

/// [RFC 3986, section 3.1](https://www.rfc-editor.org/rfc/rfc3986#section-3.1)
fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
        })
}

/// Whether there is nothing but a host and a port: a URL parser would take away what else stands there.
fn is_bare(authority: &str) -> bool {
    !authority.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\?#@%".contains(c))
}

/// `http` and `https`: the host as a browser writes it
/// ([URL, section 3.5](https://url.spec.whatwg.org/#host-parsing)), the port unless it is the default.
fn of_the_web(scheme: &str, authority: &str) -> Option<AllowedOrigin> {
    let domain = authority.strip_prefix("*.");
    // A name in place of the star: what may stand before the domain follows the same rules.
    let example = domain.map_or_else(|| authority.to_owned(), |domain| format!("x.{domain}"));
    let url = Url::parse(&format!("{scheme}://{example}")).ok()?;
    let is_name = matches!(url.host(), Some(Host::Domain(name)) if !name.contains('*'));
    let is_address = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
    let origin = url.origin().ascii_serialization();
    match domain {
        Some(domain) if is_name && !domain.is_empty() => Some(AllowedOrigin::Subdomains {
            scheme: format!("{scheme}://"),
            suffix: origin.strip_prefix(&format!("{scheme}://x"))?.to_owned(),
        }),
        None if is_name || is_address => Some(AllowedOrigin::Exact(origin)),
        _ => None,
    }
}

/// Apps in a web view, browser extensions, and files of a web view that gives them an origin.
fn of_an_app(scheme: &str, authority: &str) -> Option<AllowedOrigin> {
    let is_plain = authority
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let is_whole = !authority.is_empty() || scheme == "file";
    let origin = format!("{scheme}://{}", authority.to_ascii_lowercase());
    (is_plain && is_whole).then_some(AllowedOrigin::Exact(origin))
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
        assert!(allows("http://example.com:80", "http://example.com"));
        assert!(allows("http://[::0001]:3000", "http://[::1]:3000"));
        assert!(!allows("https://example.com", "http://example.com"));
        assert!(!allows("https://example.com", "https://example.com.evil"));
        assert!(allows("https://*.example.com", "https://a.b.example.com"));
        assert!(allows(
            "https://*.example.com:444",
            "https://a.example.com:444"
        ));
        assert!(!allows(
            "https://*.example.com:444",
            "https://a.example.com"
        ));
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
    fn names_beyond_ascii_are_what_browsers_send() {
        assert!(allows("https://exämple.com", "https://xn--exmple-cua.com"));
        assert!(allows("https://EXÄMPLE.com", "https://xn--exmple-cua.com"));
        assert!(allows(
            "https://xn--exmple-cua.com",
            "https://xn--exmple-cua.com"
        ));
        assert!(allows("https://*.例え.jp", "https://a.xn--r8jz45g.jp"));
    }

    #[test]
    fn apps_and_extensions_have_origins() {
        for origin in [
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "app://obsidian.md",
            "file://",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://9b2f1c4e-3c1a-4a0e-9a57-4b1a0b7f6a11",
            "safari-web-extension://E5F4D0A1-5A0B-4C3D-9E8F-1A2B3C4D5E6F",
        ] {
            assert!(allows(origin, origin), "{origin}");
            assert!(!allows(origin, "https://localhost"), "{origin}");
        }
    }

    #[test]
    fn a_text_that_no_browser_sends_as_origin_is_refused() {
        for bad in [
            "",
            "NULL",
            "example.com",
            "//example.com",
            "https:",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://user@a",
            "https://a b",
            "https://a:x",
            "https://a:99999",
            "https://a%2eb",
            "https://1.2.3.256",
            "https://[::1",
            "https://*",
            "https://*.",
            "https://*.*.a",
            "https://a.*",
            "https://*a.b",
            "https://*.1.2.3.4",
            "http*://a",
            "capacitor://",
            "capacitor://localhost/",
            "capacitor://*.a",
            "ws://a",
            "wss://a",
            "ftp://a",
            "data://a",
            "1a://b",
        ] {
            assert_eq!(AllowedOrigin::read(bad), None, "{bad}");
        }
    }
}
