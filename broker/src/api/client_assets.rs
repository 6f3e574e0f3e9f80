//! `GET /client/{file}`: the browser client, as it is in `broker/assets/client/`.
//!
//! The names of the files do not change with the version: browsers keep them for a short time and ask then whether they
//! are still the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, EntityTag, Header, IF_NONE_MATCH, IfNoneMatch,
};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use crate::http::Problem;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const SOURCE_MAP: &str = "application/json";

macro_rules! asset {
    ($name:literal, $content_type:ident) => {
        Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../assets/client/", $name)),
        }
    };
}

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

/// Every file that is served.
const ASSETS: [Asset; 4] = [
    asset!("widecast.js", SCRIPT),
    asset!("widecast.js.map", SOURCE_MAP),
    asset!("widecast.iife.js", SCRIPT),
    asset!("widecast.iife.js.map", SOURCE_MAP),
];

impl Asset {
    fn tag(&self) -> EntityTag {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        EntityTag::new_strong(format!("{:016x}", hasher.finish()))
    }
}

pub(super) async fn client_asset(
    request: HttpRequest,
    file: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == *file);
    let asset = asset.ok_or_else(|| Problem::not_found(request.path()))?;
    let tag = asset.tag();
    let is_known = knows(&request, &tag);
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        // Any page may load the script, also one that isolates itself; whether it may connect is another question.
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .insert_header(("X-Content-Type-Options", "nosniff"));
    if is_known {
        return Ok(response.finish());
    }
    let body = Bytes::from_static(asset.bytes);
    Ok(response.content_type(asset.content_type).body(body))
}

/// Whether the client has the very same file already.
fn knows(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Broker, header};
    use actix_web::test::{TestRequest, read_body};

    #[actix_web::test]
    async fn the_client_is_served_as_it_was_built() {
        let broker = Broker::new();
        for asset in &ASSETS {
            let path = format!("/client/{}", asset.name);
            let response = broker.call(TestRequest::get().uri(&path)).await;
            assert_eq!(response.status(), 200);
            assert_eq!(header(&response, "content-type"), asset.content_type);
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
    async fn other_files_are_not_served() {
        let broker = Broker::new();
        for path in ["/client/", "/client/Cargo.toml", "/client/..%2Fwidecast.js"] {
            let response = broker.call(TestRequest::get().uri(path)).await;
            assert_eq!(response.status(), 404, "{path}");
        }
    }
}
