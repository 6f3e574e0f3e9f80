//! JSONP: polls and commands for pages that can load nothing but scripts.
//!
//! A page that loads a script sees neither status nor headers, so that errors are scripts, too. Any page can load a script,
//! and the browser does not say which page it is: so a namespace has to allow JSONP, and a session is opened for scripts or
//! can never be used by them.

use actix_web::body::to_bytes;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use widecast_protocol::Code;
use widecast_protocol::codec::Codec;
use widecast_protocol::framing::jsonp::{self, Callback};

use crate::http::{Problem, Query};
use crate::session::{Dialect, Services, wait_millis};

use super::common::streaming::uncached;

/// How many bytes a URL with commands may have. The HTTP parser ends a connection without a word at 64 KiB.
const URL_BYTES: usize = 32 << 10;

/// The function that a request wants to be called with its answer.
///
/// # Errors
/// `invalid_request` when it is not the name of one.
pub(super) fn callback(request: &HttpRequest) -> Result<Option<Callback>, Problem> {
    let name = parameter(request, "callback")?;
    let callback = name.as_deref().map(Callback::parse).transpose();
    callback.map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))
}

/// Gives an answer, or the reason why there is none, in the form that the request asks for: as it is, or as a script.
pub(super) async fn wrapped(
    request: &HttpRequest,
    answer: impl Future<Output = Result<HttpResponse, Problem>>,
) -> Result<HttpResponse, Problem> {
    let Some(callback) = callback(request)? else {
        return answer.await;
    };
    let answer = answer.await.unwrap_or_else(|problem| refusal(&problem));
    let (mut response, body) = answer.into_parts();
    let json = to_bytes(body)
        .await
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response
        .set_body(callback.call(&json))
        .map_into_boxed_body())
}

/// Adds the headers that a script has besides those of every answer. Pages that isolate themselves may load it, too.
const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_TYPE, "text/javascript; charset=utf-8"),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "cross-origin",
    ),
];

fn refusal(problem: &Problem) -> HttpResponse {
    let wait = problem.wait().map(wait_millis);
    let json = jsonp::refusal(problem.code(), problem.detail(), wait);
    uncached(&mut HttpResponse::Ok()).body(json)
}

/// The dialect of a session over JSONP.
///
/// # Errors
/// `forbidden` when there is no channel that it could use.
pub(super) fn dialect(services: &Services) -> Result<Dialect, Problem> {
    if services.config.namespaces.any(|rules| rules.jsonp.is_on()) {
        return Ok(Dialect::scripts());
    }
    let detail = "no namespace allows JSONP (namespace.….jsonp)";
    Err(Problem::new(Code::Forbidden, detail))
}

/// The commands in a URL: `commands=`, JSON, or `msgpack=`, MessagePack in base64url.
///
/// # Errors
/// When there are none, or the URL is too long.
pub(super) fn commands(request: &HttpRequest) -> Result<(Codec, Bytes), Problem> {
    let actual = request
        .uri()
        .path_and_query()
        .map_or(0, |url| url.as_str().len());
    if actual > URL_BYTES {
        let detail = format!(
            "the URL has {actual} bytes, {URL_BYTES} are possible: send fewer commands at once, and what is large by POST"
        );
        return Err(Problem::new(Code::MessageTooLarge, detail));
    }
    if let Some(json) = parameter(request, "commands")? {
        return Ok((Codec::Json, json.into()));
    }
    let packed = parameter(request, "msgpack")?.ok_or_else(|| {
        let detail = "give commands in commands= (JSON) or msgpack= (MessagePack in base64url)";
        Problem::new(Code::InvalidRequest, detail)
    })?;
    let bytes = URL_SAFE_NO_PAD.decode(packed).map_err(|error| {
        let detail = format!("msgpack= is not base64url without padding: {error}");
        Problem::new(Code::BadMessagePack, detail)
    })?;
    Ok((Codec::MessagePack, bytes.into()))
}

fn parameter(request: &HttpRequest, name: &str) -> Result<Option<String>, Problem> {
    let Query(pairs) = Query::<Vec<(String, String)>>::of(request)?;
    let values = pairs.into_iter().filter(|(key, _)| key == name);
    Ok(values.map(|(_, value)| value).next_back())
}
