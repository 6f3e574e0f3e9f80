//! Requests that pages of other sites make without asking: for images, scripts, frames and links. The browser does not say
//! from which page they come, and the page cannot read their answers.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use widecast_protocol::Code;

use super::header::{FETCH_MODE, FETCH_SITE};
use super::problem::Problem;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Refuses a request that a page of another site has made without asking. It would open a session or publish something in
/// the name of somebody who only looks at that page
/// ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header)).
///
/// # Errors
/// `origin_not_allowed` when it was made so.
pub fn refuse_foreign_load(request: &HttpRequest) -> Result<(), Problem> {
    let is = |name: &HeaderName, value: &str| {
        let header = request.headers().get(name);
        header.is_some_and(|header| header == value)
    };
    // Some browsers say an origin of links and frames, too, which is not the page's that they lead to.
    let is_asked = request.headers().contains_key(ORIGIN) && !is(&FETCH_MODE, "navigate");
    if is_asked || !is(&FETCH_SITE, "cross-site") {
        return Ok(());
    }
    let detail = "a page of another site may do this by CORS only, as fetch, EventSource and WebSocket do, or by JSONP and image pings where \
                  the namespace allows them";
    Err(Problem::new(Code::OriginNotAllowed, detail))
}

/// Adds what every answer has against pages that load it for what it is not, unless it says otherwise itself: no type is
/// guessed, and no page of another site gets it without CORS.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (RESOURCE_POLICY, "same-site"),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
