//! By which names the broker may be called: the judgement of a `Host` header.

use std::net::IpAddr;

use crate::config::{AllowedOrigin, ServerSettings};

/// Whether `host[:port]` is a name of the broker, for a caller that sends no `Origin`.
///
/// A browser sends no `Origin` when a page reads from its own server. So while the broker listens on loopback only, a page
/// of `evil.example` could read from it by pointing that name to 127.0.0.1 (DNS rebinding). Of the names that can be
/// pointed from afar, which have a dot, the broker's own are those of listed origins. Addresses cannot be pointed.
pub fn knows_name(settings: &ServerSettings, authority: &str) -> bool {
    let host = without_port(authority);
    let mut listed = settings.allowed_origins.iter();
    settings.public_address().is_some()
        || !host.contains('.')
        || address(host).is_some()
        || is_loopback_authority(host)
        || listed.any(|allowed| has_host(allowed, host))
}

/// Whether `host[:port]` is a name or address of this machine that no other machine can reach.
pub fn is_loopback_authority(authority: &str) -> bool {
    let host = without_port(authority);
    if let Some(address) = address(host) {
        return address.to_canonical().is_loopback();
    }
    // RFC 6761, section 6.3: browsers resolve these names to loopback themselves.
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether pages of such an origin are at this host, whatever the port: a proxy may have another than the broker sees.
fn has_host(allowed: &AllowedOrigin, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    match allowed {
        AllowedOrigin::Any => true,
        // A name under another scheme is not one that is looked up.
        AllowedOrigin::Exact(origin) => {
            origin.split_once("://").is_some_and(|(scheme, authority)| {
                matches!(scheme, "http" | "https") && without_port(authority) == host
            })
        }
        AllowedOrigin::Subdomains { suffix, .. } => host
            .strip_suffix(without_port(suffix))
            .is_some_and(|label| !label.is_empty()),
    }
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::super::origin::tests::settings;
    use super::*;

    fn listed() -> Vec<AllowedOrigin> {
        vec![
            AllowedOrigin::Exact("https://push.example:8443".to_owned()),
            AllowedOrigin::Exact("null".to_owned()),
            AllowedOrigin::Exact("app://obsidian.example".to_owned()),
            AllowedOrigin::Subdomains {
                scheme: "https://".to_owned(),
                suffix: ".site.example:8443".to_owned(),
            },
        ]
    }

    #[test]
    fn a_broker_on_loopback_knows_its_names() {
        let settings = settings("127.0.0.1:8080", listed());
        for name in [
            "localhost:8080",
            "app.localhost",
            "127.0.0.1:8080",
            "127.8.8.8",
            "[::1]:8080",
            "192.0.2.1",
            "[2001:db8::1]:80",
            "an_upstream",
            "push.example",
            "Push.Example:80",
            "a.b.site.example",
        ] {
            assert!(knows_name(&settings, name), "{name}");
        }
    }

    #[test]
    fn a_name_pointed_at_loopback_is_not_its_name() {
        for name in [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "push.example.evil.example",
            "evilpush.example",
            "site.example",
            "evilsite.example",
            "obsidian.example",
            "evil.example.",
            "127.0.0.1.",
        ] {
            assert!(
                !knows_name(&settings("127.0.0.1:8080", listed()), name),
                "{name}"
            );
        }
    }

    #[test]
    fn any_name_is_right_where_anybody_may_come() {
        let name = "a.example";
        let everybody = settings("127.0.0.1:8080", vec![AllowedOrigin::Any]);
        assert!(knows_name(&everybody, name));
        assert!(knows_name(&settings("0.0.0.0:8080", Vec::new()), name));
    }
}
