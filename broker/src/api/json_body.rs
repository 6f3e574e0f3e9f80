//! The body of a request as a JSON object of a known form.

use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use widecast_protocol::Code;

use crate::config::Config;
use crate::http::{BodyLimit, MediaType, Problem, read_body};

/// Reads the body. What `curl -d` sends without being told a type is taken as JSON, too.
///
/// # Errors
/// `unsupported_media_type`, `bad_json`, or `invalid_request` when the object is of another form; as [`read_body`].
pub(super) async fn json_body<T: DeserializeOwned>(
    request: &HttpRequest,
    body: web::Payload,
    config: &Config,
) -> Result<T, Problem> {
    if !matches!(MediaType::of(request)?, MediaType::Json | MediaType::Form) {
        let detail = "send the body as a JSON object, with Content-Type: application/json";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let body = read_body(request, body, BodyLimit::message(config)).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let code = match error.classify() {
            Category::Data => Code::InvalidRequest,
            Category::Syntax | Category::Eof | Category::Io => Code::BadJson,
        };
        Problem::new(code, format!("the body: {error}"))
    })
}
