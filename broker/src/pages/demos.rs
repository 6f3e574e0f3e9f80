//! `GET /demos/{file}`: pages that show what the broker can do, as they are in `broker/assets/demos/`.
//!
//! Where they are not served (`server.demos`) nothing is at their addresses.

use std::future::{Ready, ready};

use actix_web::http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev, web};

use super::static_asset::{StaticAsset, static_asset};
use crate::http::{Problem, host};
use crate::session::Services;

/// Every file that is served.
static ASSETS: [StaticAsset; 30] = [
    static_asset!("demos", "index.html"),
    static_asset!("demos", "index.js"),
    static_asset!("demos", "chat.html"),
    static_asset!("demos", "chat.js"),
    static_asset!("demos", "notifications.html"),
    static_asset!("demos", "notifications.js"),
    static_asset!("demos", "broadcast-1.html"),
    static_asset!("demos", "broadcast-2.html"),
    static_asset!("demos", "broadcast.js"),
    static_asset!("demos", "bridge.html"),
    static_asset!("demos", "bridge.js"),
    static_asset!("demos", "bridge-child.html"),
    static_asset!("demos", "bridge-child.js"),
    static_asset!("demos", "conversation.js"),
    static_asset!("demos", "canvas.html"),
    static_asset!("demos", "canvas.js"),
    static_asset!("demos", "ticker.html"),
    static_asset!("demos", "ticker.js"),
    static_asset!("demos", "column.js"),
    static_asset!("demos", "transports.js"),
    static_asset!("demos", "exchange.js"),
    static_asset!("demos", "upload.html"),
    static_asset!("demos", "upload.js"),
    static_asset!("demos", "transfer.js"),
    static_asset!("demos", "demos.css"),
    static_asset!("demos", "icon.svg"),
    static_asset!("demos", "language.js"),
    static_asset!("demos", "source.js"),
    static_asset!("demos", "second.js"),
    static_asset!("demos", "copy.js"),
];

/// What a page may load and do: nothing from elsewhere, no inline scripts or styles.
const POLICY: &str = "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; \
    form-action 'none'";

/// The page in the frame of the demo of the bridge: it may connect to nobody, but frame the bridge.
const CHILD_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
    form-action 'none'";

/// The broker under both its names: to a browser these are two origins.
const BOTH_NAMES: &str = "http://localhost:* http://127.0.0.1:*";

/// The demos are served.
pub(super) struct Served;

impl FromRequest for Served {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let services = request.app_data::<web::Data<Services>>();
        let served = services.is_some_and(|services| services.config.server.serves_demos());
        let refusal = || Problem::not_found(request.path());
        ready(served.then_some(Self).ok_or_else(refusal))
    }
}

/// `GET /`, for whoever types the address of a new broker into a browser, and `GET /demos`: the pages name each other
/// relative to the folder.
pub(super) async fn to_demos(_: Served) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((LOCATION, "/demos/"))
        .insert_header(("Cache-Control", "no-store"))
        .finish()
}

pub(super) async fn demo(
    request: HttpRequest,
    file: web::Path<String>,
    _: Served,
) -> Result<HttpResponse, Problem> {
    let name = if file.is_empty() { "index.html" } else { &file };
    let asset = StaticAsset::find(&ASSETS, name, &request)?;
    let policy = policy(name, &request);
    let headers = [
        // The tag is asked for each time: what is shown is what this broker has.
        ("Cache-Control", "no-cache"),
        (CONTENT_SECURITY_POLICY.as_str(), policy.as_str()),
    ];
    Ok(asset.answer(&request, &headers))
}

fn policy(name: &str, request: &HttpRequest) -> String {
    match name {
        "bridge-child.html" => {
            format!("{CHILD_POLICY}; frame-src {BOTH_NAMES}; frame-ancestors {BOTH_NAMES}")
        }
        "bridge.html" => format!("{}; frame-src {BOTH_NAMES}", own_policy(request)),
        _ => own_policy(request),
    }
}

/// Not in every browser `'self'` means WebSockets, too.
fn own_policy(request: &HttpRequest) -> String {
    let host = host(request).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let sockets = if host.is_empty() || !host.chars().all(is_plain) {
        String::new()
    } else {
        format!(" ws://{host} wss://{host}")
    };
    format!("{POLICY}; frame-ancestors 'none'; connect-src 'self'{sockets}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, header};
    use crate::config::Demos;
    use actix_web::http::header::HOST;
    use actix_web::http::header::IF_NONE_MATCH;
    use actix_web::test::{TestRequest, read_body};

    fn get(path: &str) -> TestRequest {
        TestRequest::get()
            .uri(path)
            .insert_header((HOST, "localhost:8080"))
    }

    #[actix_web::test]
    async fn every_file_is_served_with_a_policy_and_a_tag() {
        let broker = TestBroker::new();
        for asset in &ASSETS {
            let path = format!("/demos/{}", asset.name);
            let response = broker.call(get(&path)).await;
            assert_eq!(response.status(), 200);
            assert_eq!(header(&response, "content-type"), asset.content_type());
            let policy = header(&response, "content-security-policy");
            assert!(policy.starts_with("default-src '"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            let tag = header(&response, "etag").to_owned();
            assert_eq!(read_body(response).await, asset.bytes);
            let again = get(&path).insert_header((IF_NONE_MATCH, tag));
            assert_eq!(broker.call(again).await.status(), 304);
        }
    }

    #[actix_web::test]
    async fn the_folder_is_the_index_and_all_that_is_above_leads_there() {
        let broker = TestBroker::new();
        let index = broker.call(get("/demos/")).await;
        assert_eq!(index.status(), 200);
        assert_eq!(read_body(index).await, ASSETS[0].bytes);
        for path in ["/", "/demos"] {
            let response = broker.call(get(path)).await;
            assert_eq!(response.status(), 302, "{path}");
            assert_eq!(header(&response, "location"), "/demos/");
        }
        let missing = broker.call(get("/demos/secret.html")).await;
        assert_eq!(missing.status(), 404);
    }

    #[actix_web::test]
    async fn every_file_of_the_folder_is_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demos");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
        }
    }

    #[actix_web::test]
    async fn a_public_broker_has_no_demos_unless_told_so() {
        let public = |demos| {
            TestBroker::with(|config| {
                config.server.listen = vec!["0.0.0.0:80".parse().unwrap()];
                config.server.demos = demos;
            })
        };
        for path in ["/", "/demos", "/demos/", "/demos/demos.css"] {
            let response = public(Demos::OnLoopback).call(get(path)).await;
            assert_eq!(response.status(), 404, "{path}");
        }
        let response = public(Demos::Always).call(get("/demos/")).await;
        assert_eq!(response.status(), 200);
        let broker = TestBroker::with(|config| config.server.demos = Demos::Never);
        assert_eq!(broker.call(get("/demos/")).await.status(), 404);
    }

    #[actix_web::test]
    async fn the_page_that_needs_the_bridge_may_not_connect() {
        let broker = TestBroker::new();
        let response = broker.call(get("/demos/bridge-child.html")).await;
        let policy = header(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("connect-src"), "{policy}");
        let framed = "frame-ancestors http://localhost:* http://127.0.0.1:*";
        assert!(policy.ends_with(framed), "{policy}");
    }

    #[actix_web::test]
    async fn a_page_may_open_websockets_to_the_host_it_came_from() {
        let broker = TestBroker::new();
        let response = broker.call(get("/demos/")).await;
        let policy = header(&response, "content-security-policy");
        let allowed = "connect-src 'self' ws://localhost:8080 wss://localhost:8080";
        assert!(policy.ends_with(allowed), "{policy}");
        let strange = TestRequest::get()
            .uri("/demos/")
            .insert_header((HOST, "a;b"));
        let response = broker.call(strange).await;
        let policy = header(&response, "content-security-policy");
        assert!(policy.ends_with("connect-src 'self'"), "{policy}");
    }
}
