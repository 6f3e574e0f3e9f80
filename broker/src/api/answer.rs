//! The form of answers that are no errors.

use actix_web::HttpResponse;
use actix_web::body::MessageBody;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;

use crate::http::Problem;
use crate::log_limit::LogLimit;
use widecast_protocol::Code;

/// 200 with an object as JSON. Nothing the broker says stays true, so nobody may cache it.
pub(super) fn json(object: &impl Serialize) -> Result<HttpResponse, Problem> {
    let text = serde_json::to_vec(object).map_err(|error| unwritable(&error))?;
    Ok(body("application/json", text))
}

/// 204: it is done, and there is nothing to say.
pub(super) fn nothing() -> HttpResponse {
    let no_store = HeaderValue::from_static("no-store");
    HttpResponse::NoContent()
        .insert_header((CACHE_CONTROL, no_store))
        .finish()
}

/// 200 with an object as MessagePack.
pub(super) fn msgpack(object: &impl Serialize) -> Result<HttpResponse, Problem> {
    let packed = rmp_serde::to_vec_named(object).map_err(|error| unwritable(&error))?;
    Ok(body("application/msgpack", packed))
}

fn unwritable(error: &impl std::error::Error) -> Problem {
    static LINE: LogLimit = LogLimit::new();
    if let Some(times) = LINE.due() {
        tracing::error!(times, %error, "an answer could not be encoded, which is a mistake in the broker: please report it");
    }
    Problem::new(Code::Internal, "the answer could not be written")
}

/// 200 with a body that is already written.
pub(super) fn body(content_type: &'static str, body: impl MessageBody + 'static) -> HttpResponse {
    let no_store = HeaderValue::from_static("no-store");
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, no_store))
        .body(body)
}
