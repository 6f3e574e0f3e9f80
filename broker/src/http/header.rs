//! Headers for which the HTTP library has no names: the broker's own, and those by which browsers say who makes a request.

use actix_web::http::header::HeaderName;

/// The cursor at which a subscription begins, or that of a message.
pub const CURSOR_HEADER: &str = "widecast-cursor";

/// The key of the sender of a request.
pub(super) static SENDER: HeaderName = HeaderName::from_static("widecast-sender");

/// From what kind of page a request comes ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header)).
pub(super) static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How a page has made a request ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-mode-header)).
pub(super) static FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What a page makes a request for, such as an image ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-dest-header)).
pub(super) static FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
