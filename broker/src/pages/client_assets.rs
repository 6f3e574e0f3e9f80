//! `GET /client/{file}`: the browser client, as it is in `broker/assets/client/`.
//!
//! The names of the files do not change with the version: browsers keep them for a short time and ask then whether they
//! are still the same.

use actix_web::{HttpRequest, HttpResponse, web};

use super::static_asset::{StaticAsset, static_asset};
use crate::http::Problem;

/// Every file that is served.
static ASSETS: [StaticAsset; 10] = [
    static_asset!("client", "widecast.js"),
    static_asset!("client", "widecast.js.map"),
    static_asset!("client", "widecast.iife.js"),
    static_asset!("client", "widecast.iife.js.map"),
    static_asset!("client", "widecast.legacy.js"),
    static_asset!("client", "widecast.legacy.js.map"),
    static_asset!("client", "fallbacks.js"),
    static_asset!("client", "fallbacks.js.map"),
    static_asset!("client", "bridge.js"),
    static_asset!("client", "bridge.js.map"),
];

const HEADERS: [(&str, &str); 3] = [
    ("Cache-Control", "public, max-age=300"),
    // Any page may load the script, also one that isolates itself; whether it may connect is another question.
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
];

pub(super) async fn client_asset(
    request: HttpRequest,
    file: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let asset = StaticAsset::find(&ASSETS, &file, &request)?;
    Ok(asset.answer(&request, &HEADERS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, header};
    use actix_web::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
    use actix_web::test::{TestRequest, read_body};
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[actix_web::test]
    async fn the_client_is_served_as_it_was_built() {
        let broker = TestBroker::new();
        for asset in &ASSETS {
            let path = format!("/client/{}", asset.name);
            let response = broker.call(TestRequest::get().uri(&path)).await;
            assert_eq!(response.status(), 200);
            assert_eq!(header(&response, "content-type"), asset.content_type());
            assert_eq!(header(&response, "access-control-allow-origin"), "*");
            let tag = header(&response, "etag").to_owned();
            assert_eq!(read_body(response).await, asset.bytes);

            let again = TestRequest::get()
                .uri(&path)
                .insert_header((IF_NONE_MATCH, format!("\"other\", W/{tag}")));
            let response = broker.call(again).await;
            assert_eq!(response.status(), 304);
            assert_eq!(header(&response, "etag"), tag);
            assert!(read_body(response).await.is_empty());
        }
    }

    #[actix_web::test]
    async fn a_client_that_takes_gzip_is_sent_gzip() {
        let broker = TestBroker::new();
        let get = |accepted: &'static str| {
            TestRequest::get()
                .uri("/client/widecast.js")
                .insert_header((ACCEPT_ENCODING, accepted))
        };
        let asset = &ASSETS[0];
        for accepted in ["gzip", "gzip, deflate, br, zstd", "br;q=1.0, gzip;q=0.5"] {
            let response = broker.call(get(accepted)).await;
            assert_eq!(header(&response, "content-encoding"), "gzip", "{accepted}");
            assert!(header(&response, "vary").contains("Accept-Encoding"));
            let tag = header(&response, "etag").to_owned();
            let body = read_body(response).await;
            assert!(body.len() < asset.bytes.len() / 2);
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            assert_eq!(plain, asset.bytes);
            let again = get(accepted).insert_header((IF_NONE_MATCH, tag));
            assert_eq!(broker.call(again).await.status(), 304);
        }
        for accepted in ["identity", "br", "gzip;q=0", ""] {
            let response = broker.call(get(accepted)).await;
            assert!(
                !response.headers().contains_key("content-encoding"),
                "{accepted}"
            );
            assert_eq!(read_body(response).await, asset.bytes, "{accepted}");
        }
    }

    #[actix_web::test]
    async fn other_files_are_not_served() {
        let broker = TestBroker::new();
        for path in ["/client/", "/client/Cargo.toml", "/client/..%2Fwidecast.js"] {
            let response = broker.call(TestRequest::get().uri(path)).await;
            assert_eq!(response.status(), 404, "{path}");
        }
    }
}
