//! Files that are part of the binary: the browser client and the demos.
//!
//! Their names do not change with the version, so every answer has a tag by which a browser asks later whether its copy is
//! still the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::http::header::{
    ETAG, EntityTag, Header, IF_NONE_MATCH, IfNoneMatch, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::http::Problem;

/// A file of `broker/assets/`.
pub(super) struct StaticAsset {
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
}

/// The file of a folder of `broker/assets/`.
macro_rules! static_asset {
    ($folder:literal, $name:literal) => {
        $crate::api::static_asset::StaticAsset {
            name: $name,
            bytes: include_bytes!(concat!("../../assets/", $folder, "/", $name)),
        }
    };
}
pub(super) use static_asset;

impl StaticAsset {
    /// The file of this name.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub(super) fn find<'a>(
        assets: &'a [Self],
        name: &str,
        request: &HttpRequest,
    ) -> Result<&'a Self, Problem> {
        let asset = assets.iter().find(|asset| asset.name == name);
        asset.ok_or_else(|| Problem::not_found(request.path()))
    }

    /// The file with these headers and its own, or 304 if the client has it already.
    pub(super) fn answer(
        &self,
        request: &HttpRequest,
        headers: &[(&'static str, &str)],
    ) -> HttpResponse {
        let tag = self.tag();
        let is_known = knows(request, &tag);
        let mut response = if is_known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        response.insert_header((ETAG, tag));
        response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        for &header in headers {
            response.insert_header(header);
        }
        if is_known {
            return response.finish();
        }
        let body = Bytes::from_static(self.bytes);
        response.content_type(self.content_type()).body(body)
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("map") => "application/json",
            _ => "application/octet-stream",
        }
    }

    fn tag(&self) -> EntityTag {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        EntityTag::new_strong(format!("{:016x}", hasher.finish()))
    }
}

/// Whether the client has the very same file already.
fn knows(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}
