//! Which web pages may talk to the broker: the judgement of an `Origin` header.
//!
//! A browser sets the header on every WebSocket, every request to another origin and every POST, and no page can change
//! it. Clients that are no browsers may send anything or nothing: this protects the user of a browser from foreign
//! pages, not the broker from clients.

use super::name::is_loopback_authority;
use crate::config::{AllowedOrigin, ServerSettings};

/// The judgement of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its pages may talk to the broker with the user's cookies.
    Trusted,
    /// Its pages may talk to the broker as those of any origin may: without cookies.
    Anybody,
    /// Its pages may not talk to the broker.
    Refused,
}

/// Judges an `Origin` header, given the request's `Host`.
///
/// The broker's own pages are trusted. While the broker listens on loopback only, its own name must be a name of
/// loopback, too: else a page of `evil.example` could become its own by pointing that name to 127.0.0.1 (DNS
/// rebinding). A page of loopback that calls it by another name is on some user's machine, and the broker behind a proxy: it may talk
/// to the broker, but not with the user's cookies. Neither may a page of an origin that a star stands for: whoever gets hold of any name below a
/// domain would act for its users.
pub fn admit(settings: &ServerSettings, origin: &str, host: Option<&str>) -> Admission {
    let private = settings.public_address().is_none();
    let authority = authority(origin);
    let loopback = authority.is_some_and(is_loopback_authority);
    let own = authority
        .zip(host)
        .is_some_and(|(authority, host)| is_same(origin, authority, host));
    let listed = || {
        let all = settings.allowed_origins.iter();
        all.filter(|allowed| allowed.allows(origin))
    };
    let is_named = listed().any(|allowed| matches!(allowed, AllowedOrigin::Exact(_)));
    let neighbour = private && loopback;
    if (neighbour && host.is_none_or(is_loopback_authority)) || (!private && own) || is_named {
        Admission::Trusted
    } else if neighbour || listed().next().is_some() {
        Admission::Anybody
    } else {
        Admission::Refused
    }
}

/// Whether a page's own authority is this host. A browser leaves the default port out of the origin; another client may
/// write it where it calls the broker.
fn is_same(origin: &str, authority: &str, host: &str) -> bool {
    let default = if origin.starts_with("https:") {
        ":443"
    } else {
        ":80"
    };
    authority.eq_ignore_ascii_case(host.strip_suffix(default).unwrap_or(host))
}

fn authority(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    matches!(scheme, "http" | "https").then_some(authority)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::auth) fn settings(listen: &str, allowed: Vec<AllowedOrigin>) -> ServerSettings {
        ServerSettings {
            listen: vec![listen.parse().unwrap()],
            allowed_origins: allowed,
            ..ServerSettings::default()
        }
    }

    #[test]
    fn a_broker_on_loopback_trusts_pages_of_loopback_only() {
        let settings = settings("127.0.0.1:8080", Vec::new());
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:5173",
            "https://app.localhost",
        ] {
            assert_eq!(
                admit(&settings, origin, Some("localhost:8080")),
                Admission::Trusted,
                "{origin}"
            );
        }
        for origin in [
            "https://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com:8080",
            "null",
            "",
            "file://",
        ] {
            assert_eq!(
                admit(&settings, origin, Some("localhost:8080")),
                Admission::Refused,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_name_pointed_at_loopback_does_not_make_a_page_the_brokers_own() {
        let settings = settings("127.0.0.1:8080", Vec::new());
        let admission = admit(
            &settings,
            "http://evil.example:8080",
            Some("evil.example:8080"),
        );
        assert_eq!(admission, Admission::Refused);
    }

    #[test]
    fn behind_a_proxy_a_page_of_loopback_has_no_cookies() {
        let settings = settings("127.0.0.1:8080", Vec::new());
        let admission = admit(&settings, "http://localhost:3000", Some("push.example"));
        assert_eq!(admission, Admission::Anybody);
    }

    #[test]
    fn a_public_broker_trusts_its_own_pages_and_the_listed_ones() {
        let listed = AllowedOrigin::Exact("https://app.example".to_owned());
        let settings = settings("0.0.0.0:443", vec![listed]);
        let host = Some("push.example");
        assert_eq!(
            admit(&settings, "https://push.example", host),
            Admission::Trusted
        );
        assert_eq!(
            admit(&settings, "https://app.example", host),
            Admission::Trusted
        );
        assert_eq!(
            admit(&settings, "https://other.example", host),
            Admission::Refused
        );
        assert_eq!(
            admit(&settings, "http://localhost:3000", host),
            Admission::Refused
        );
        assert_eq!(admit(&settings, "null", None), Admission::Refused);
        for host in ["Push.example", "push.example:443"] {
            let own = admit(&settings, "https://push.example", Some(host));
            assert_eq!(own, Admission::Trusted, "{host}");
        }
        let other = admit(&settings, "http://push.example", Some("push.example:443"));
        assert_eq!(other, Admission::Refused);
    }

    #[test]
    fn pages_that_a_star_stands_for_have_no_cookies_unless_they_are_named_too() {
        let below = AllowedOrigin::Subdomains {
            scheme: "https://".to_owned(),
            suffix: ".b.example".to_owned(),
        };
        let named = AllowedOrigin::Exact("https://app.b.example".to_owned());
        let settings = settings("0.0.0.0:443", vec![below, named]);
        let admission = |origin| admit(&settings, origin, Some("push.example"));
        assert_eq!(admission("https://app.b.example"), Admission::Trusted);
        assert_eq!(admission("https://any.b.example"), Admission::Anybody);
        assert_eq!(admission("https://b.example"), Admission::Refused);
    }

    #[test]
    fn the_star_lets_everybody_in_without_cookies() {
        let settings = settings("0.0.0.0:443", vec![AllowedOrigin::Any]);
        let host = Some("push.example");
        assert_eq!(
            admit(&settings, "https://other.example", host),
            Admission::Anybody
        );
        assert_eq!(admit(&settings, "null", host), Admission::Anybody);
        assert_eq!(
            admit(&settings, "https://push.example", host),
            Admission::Trusted
        );
    }
}
