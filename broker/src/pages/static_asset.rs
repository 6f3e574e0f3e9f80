//! Files that are part of the binary: the browser client and the demos.
//!
//! Their names do not change with the version, so every answer has a tag by which a browser asks later whether its copy is
//! still the same. Whoever takes gzip gets it: a file is compressed once, when it is first asked for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::sync::OnceLock;

use actix_web::http::header::{
    AcceptEncoding, CONTENT_ENCODING, ETAG, Encoding, EntityTag, Header, IF_NONE_MATCH,
    IfNoneMatch, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzEncoder;

use crate::http::Problem;

/// A file of `broker/assets/`.
pub(super) struct StaticAsset {
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
    pub(super) forms: OnceLock<Forms>,
}

/// What is made of a file when it is first asked for.
pub(super) struct Forms {
    /// What its bytes are known by.
    hash: u64,
    /// The same in fewer bytes; none if it could not be compressed.
    gzip: Option<Bytes>,
}

impl Forms {
    fn of(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let mut gzip = Vec::new();
        let compressed = GzEncoder::new(bytes, Compression::best()).read_to_end(&mut gzip);
        Self {
            hash: hasher.finish(),
            gzip: compressed.is_ok().then(|| gzip.into()),
        }
    }
}

/// The file of a folder of `broker/assets/`.
macro_rules! static_asset {
    ($folder:literal, $name:literal) => {
        $crate::pages::static_asset::StaticAsset {
            name: $name,
            bytes: include_bytes!(concat!("../../assets/", $folder, "/", $name)),
            forms: std::sync::OnceLock::new(),
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
        let forms = self.forms.get_or_init(|| Forms::of(self.bytes));
        let gzip = forms.gzip.as_ref().filter(|_| accepts_gzip(request));
        // A strong tag is for the very same bytes (RFC 9110, section 8.8.3).
        let form = if gzip.is_some() { "-gzip" } else { "" };
        let tag = EntityTag::new_strong(format!("{:016x}{form}", forms.hash));
        let is_known = knows(request, &tag);
        let mut response = if is_known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        response.insert_header((ETAG, tag));
        response.append_header((VARY, "Accept-Encoding"));
        response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        for &header in headers {
            response.insert_header(header);
        }
        if is_known {
            return response.finish();
        }
        response.content_type(self.content_type());
        match gzip {
            Some(gzip) => response
                .insert_header((CONTENT_ENCODING, "gzip"))
                .body(gzip.clone()),
            None => response.body(Bytes::from_static(self.bytes)),
        }
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
}

/// Whether the client would rather have gzip ([RFC 9110, section 12.5.3](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3)).
fn accepts_gzip(request: &HttpRequest) -> bool {
    let forms = [Encoding::gzip(), Encoding::identity()];
    let accepted = AcceptEncoding::parse(request).ok();
    accepted.and_then(|accepted| accepted.negotiate(forms.iter())) == Some(Encoding::gzip())
}

/// Whether the client has the very same file already.
fn knows(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}
