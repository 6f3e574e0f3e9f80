//! By which name the broker was called.

use actix_web::HttpRequest;
use actix_web::http::header::HOST;
use actix_web::http::uri::Authority;

/// `host[:port]` as the client wrote it: the header `Host`, else the authority of the request's target.
pub fn host(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(HOST);
    header
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(Authority::as_str))
}
