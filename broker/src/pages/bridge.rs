//! `GET /bridge.html`: the page through which pages of other origins reach the broker, in a frame of theirs.
//!
//! The address says which page it is for, and what is around that: `?origin=` of the page, then of those it is framed by. Each
//! is judged here, as the `Origin` of a request is; the script in the frame takes a port from the first one only, and the
//! browser shows the page in no other. So the rule is in one place, and nobody can read off it which other sites there are.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};
use widecast_protocol::Code;

use crate::auth::{Admission, admit};
use crate::http::{Problem, Query, host};
use crate::session::Services;

/// `PARENT` stands for the origin of the page around it.
const PAGE: &str = include_str!("../../assets/bridge.html");

/// What the page may do. Not in every browser does `'self'` include WebSockets.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

pub(super) async fn bridge(
    request: HttpRequest,
    services: web::Data<Services>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, Problem> {
    let origins = parameters.iter().filter(|(name, _)| name == "origin");
    let origins: Vec<&str> = origins.map(|(_, origin)| origin.as_str()).collect();
    for origin in &origins {
        let admission = is_origin(origin)
            .then(|| admit(&services.config.server, origin, host(&request)))
            .ok_or_else(|| {
                let expected =
                    "?origin= has to be the origin of a page, such as https://example.com";
                Problem::new(Code::InvalidRequest, expected)
            })?;
        check(origin, admission)?;
        if *origin == "null" && services.config.auth.cookie.name().is_some() {
            let detail = "pages of null may not use the bridge while auth.cookie is set: any site can have pages of that origin";
            return Err(Problem::new(Code::OriginNotAllowed, detail));
        }
    }
    let parent = origins.first().copied().unwrap_or_default();
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, policy(&origins)))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        // A page that isolates itself frames only what agrees to it.
        .insert_header(("Cross-Origin-Embedder-Policy", "require-corp"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .body(PAGE.replace("PARENT", parent)))
}

/// A page that uses the bridge is a page of the broker to the broker, cookies and all: only who is listed by name may.
fn check(origin: &str, admission: Admission) -> Result<(), Problem> {
    let detail = match admission {
        Admission::Trusted => return Ok(()),
        Admission::Anybody => format!(
            "pages of {origin} may not use the bridge: server.allowed_origins has to list it by name, a star is not enough"
        ),
        Admission::Refused => format!(
            "pages of {origin} may not use the bridge: server.allowed_origins does not list it"
        ),
    };
    Err(Problem::new(Code::OriginNotAllowed, detail))
}

/// Whether this can be an origin as browsers write it: nothing in it means anything to HTML or to a policy.
fn is_origin(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]+".contains(&byte);
    text == "null"
        || text.split_once("://").is_some_and(|(scheme, authority)| {
            let mut both = scheme.bytes().chain(authority.bytes());
            !scheme.is_empty() && !authority.is_empty() && both.all(plain)
        })
}

fn policy(origins: &[&str]) -> String {
    if origins.is_empty() {
        format!("{POLICY}; frame-ancestors 'none'")
    } else if origins.iter().all(|origin| is_source(origin)) {
        format!("{POLICY}; frame-ancestors {}", origins.join(" "))
    } else {
        // There are no words for it: the script alone decides.
        POLICY.to_owned()
    }
}

/// Whether a policy can name the origin
/// ([CSP, section 2.3.1](https://www.w3.org/TR/CSP3/#framework-directive-source-list)): no opaque one, and of addresses only
/// 127.0.0.1 ([section 6.7.2.8](https://www.w3.org/TR/CSP3/#match-hosts)).
fn is_source(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else {
        return false;
    };
    let host = authority.split(':').next().unwrap_or_default();
    let is_name = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
    is_name && (!is_address || host == "127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, header, shown, text};
    use crate::config::{AllowedOrigin, Config};
    use actix_web::test::TestRequest;

    fn get(query: &str) -> TestRequest {
        TestRequest::get().uri(&format!("/bridge.html{query}"))
    }

    /// On a public address, with these origins allowed.
    fn public(allowed: &[&str]) -> TestBroker {
        let exact = |origin: &&str| match *origin {
            "*" => AllowedOrigin::Any,
            origin => AllowedOrigin::Exact(origin.to_owned()),
        };
        let allowed = allowed.iter().map(exact).collect();
        TestBroker::with(|config: &mut Config| {
            config.server.listen = vec!["0.0.0.0:443".parse().unwrap()];
            config.server.allowed_origins = allowed;
        })
    }

    #[actix_web::test]
    async fn the_page_is_for_the_origin_that_its_address_names() {
        let broker = public(&["https://app.example"]);
        let response = broker.call(get("?origin=https%3A%2F%2Fapp.example")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            header(&response, "content-type"),
            "text/html; charset=utf-8"
        );
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        insta::assert_snapshot!(header(&response, "content-security-policy"), @"default-src 'none'; script-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors https://app.example");
        let page = text(response).await;
        assert!(
            page.contains(r#"<script src="client/bridge.js" data-parent="https://app.example">"#),
            "{page}"
        );
    }

    #[actix_web::test]
    async fn all_pages_around_it_have_to_be_allowed() {
        let broker = public(&["https://app.example", "https://portal.example"]);
        let both = "?origin=https://app.example&origin=https://portal.example";
        let response = broker.call(get(both)).await;
        let policy = header(&response, "content-security-policy");
        assert!(
            policy.ends_with("; frame-ancestors https://app.example https://portal.example"),
            "{policy}"
        );
        let page = text(response).await;
        assert!(
            page.contains(r#"data-parent="https://app.example""#),
            "{page}"
        );
        let foreign = "?origin=https://app.example&origin=https://evil.example";
        assert_eq!(broker.call(get(foreign)).await.status(), 403);
    }

    #[actix_web::test]
    async fn the_bridge_refuses_pages_that_are_not_listed() {
        let answer = |allowed: &'static [&str]| async move {
            shown(
                public(allowed)
                    .call(get("?origin=https://evil.example"))
                    .await,
            )
            .await
        };
        insta::assert_snapshot!(answer(&["https://app.example"]).await, @r#"403 {"type":"about:blank","title":"The page's origin is not on the list of allowed origins.","status":403,"detail":"pages of https://evil.example may not use the bridge: server.allowed_origins does not list it","code":"origin_not_allowed","retryable":false}"#);
        insta::assert_snapshot!(answer(&["*"]).await, @r#"403 {"type":"about:blank","title":"The page's origin is not on the list of allowed origins.","status":403,"detail":"pages of https://evil.example may not use the bridge: server.allowed_origins has to list it by name, a star is not enough","code":"origin_not_allowed","retryable":false}"#);
    }

    #[actix_web::test]
    async fn a_broker_on_loopback_is_for_pages_of_loopback() {
        let broker = TestBroker::new();
        for (origin, status) in [
            ("http://localhost:3000", 200),
            ("http://[::1]:3000", 200),
            ("https://app.example", 403),
            ("null", 403),
        ] {
            let response = broker.call(get(&format!("?origin={origin}"))).await;
            assert_eq!(response.status(), status, "{origin}");
        }
    }

    #[actix_web::test]
    async fn the_bridge_serves_only_origins_that_are_named() {
        let response = public(&["https://app.example"]).call(get("")).await;
        assert_eq!(response.status(), 200);
        let policy = header(&response, "content-security-policy");
        assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
        assert!(text(response).await.contains(r#"data-parent="""#));
    }

    #[actix_web::test]
    async fn a_text_that_means_something_in_html_is_no_origin() {
        let all = AllowedOrigin::Subdomains {
            scheme: "https://".to_owned(),
            suffix: ".example".to_owned(),
        };
        let broker = TestBroker::with(|config| config.server.allowed_origins = vec![all]);
        for origin in [
            "https://%22%3E%3Cscript%3E.example",
            "https://a%3B.example",
            "https://a%20b.example",
            "https://a%0D%0Ab.example",
            "https://%C3%A9.example",
            "https://a/.example",
            "app.example",
            "https://",
            "",
        ] {
            let response = broker.call(get(&format!("?origin={origin}"))).await;
            assert_eq!(response.status(), 400, "{origin}");
        }
    }

    #[test]
    fn a_policy_names_what_it_has_words_for() {
        for (origin, expected) in [
            ("https://app.example:8443", true),
            ("http://127.0.0.1:3000", true),
            ("http://localhost", true),
            ("http://127.0.0.2:3000", false),
            ("http://[::1]:3000", false),
            ("https://a_b.example", false),
            ("null", false),
        ] {
            assert!(is_origin(origin), "{origin}");
            assert_eq!(is_source(origin), expected, "{origin}");
            assert_eq!(policy(&[origin]).contains("frame-ancestors"), expected);
        }
    }
}
