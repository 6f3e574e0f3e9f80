//! The body of a request as the data of a message: what it is, its `Content-Type` says.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpMessage, HttpRequest, web};
use widecast_protocol::{Code, Payload};

use super::form;
use crate::config::Config;
use crate::http::{BodyLimit, MediaType, Problem, read_body};
use crate::offload::offload;

/// Reads the body of a request as one value.
///
/// # Errors
/// When the body cannot be read, is too large, or is not what its type says.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    config: &Config,
) -> Result<Payload, Problem> {
    let media_type = MediaType::of(request)?;
    if media_type == MediaType::Ndjson {
        let detail = format!(
            "{} is for POST /v1/publish: one message has one value",
            request.content_type()
        );
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let body = read_body(request, payload, limit(media_type, config)).await?;
    let bytes = body.len();
    match media_type {
        MediaType::Json => Ok(offload(bytes, || Payload::from_json(body)).await?),
        MediaType::MessagePack => Ok(offload(bytes, || Payload::from_msgpack(body)).await?),
        MediaType::Text => Ok(Payload::text_bytes(body)?),
        MediaType::Form => offload(bytes, move || form::url_encoded(&body)).await,
        MediaType::Multipart => form::multipart(request.headers(), body).await,
        MediaType::Binary | MediaType::Ndjson => {
            let media_type = request.headers().get(CONTENT_TYPE);
            let media_type = media_type.and_then(|header| header.to_str().ok());
            Ok(Payload::binary_of_type(
                body,
                media_type.unwrap_or_default(),
            ))
        }
    }
}

/// A form on the wire is larger than what it says, up to three times; how large that may be is checked when it is
/// published.
fn limit(media_type: MediaType, config: &Config) -> BodyLimit {
    match media_type {
        MediaType::Form | MediaType::Multipart => BodyLimit::request(config),
        _ => BodyLimit::message(config),
    }
}
