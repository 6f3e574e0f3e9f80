//! The middleware that every request passes first and every answer last. It judges the origin, does CORS, and gives errors
//! their form.
//!
//! Wraps the whole application, streams included. A page whose origin is not allowed is refused whatever it asks for;
//! of the others the origin is remembered, and stamped on what they publish ([`verified_origin`]). Where a request does not
//! say which page it is from, the name that it calls the broker by is judged instead. The `actix-cors`
//! crate would answer its refusals as plain text, and judges origins for CORS only.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use rand::RngExt;
use widecast_protocol::framing::sse;
use widecast_protocol::{Code, Origin};

use super::endpoint::METHODS;
use super::foreign::{protect, refuse_foreign_load};
use super::header::FETCH_MODE;
use super::host::{check_host, host};
use super::problem::Problem;
use super::query::has_parameter;
use super::refused_origins;
use crate::auth::{Admission, admit, knows_name};
use crate::config::ServerSettings;
use crate::log_limit::LogLimit;
use crate::session::Services;

/// How long a browser may remember the answer to a preflight. Chrome's limit.
const PREFLIGHT_AGE_SECONDS: &str = "7200";

/// The headers of an answer that a page of another origin may read.
const EXPOSED: &str = "Widecast-Cursor, Retry-After, Allow";

/// The paths that anybody may read: they tell nothing of the channels.
const OPEN: [&str; 2] = [CLIENT, HEALTH];

/// The paths that say how the broker is.
const HEALTH: &str = "/health/";

/// The paths that are answered however much memory clients make the broker hold: they take hardly any, and say why others
/// are refused, or put clients out.
fn is_for_operators(path: &str) -> bool {
    const PATHS: [&str; 3] = ["/metrics", "/v1/disconnect", "/v1/unsubscribe"];
    PATHS.contains(&path) || path.starts_with("/v1/revocations") || path.starts_with(HEALTH)
}

/// The paths that any page may load: the scripts of the client, whose requests are judged later. A frame of an opaque origin
/// says `null` for itself.
const CLIENT: &str = "/client/";

/// How many bytes an origin has at the most: a name of a host has 253, and a scheme and a port come with it. Every message carries the
/// origin of its publisher.
const ORIGIN_BYTES: usize = 300;

/// The headers on which the answer to a preflight depends.
const PREFLIGHT_VARY: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// A middleware for [`actix_web::middleware::from_fn`].
///
/// # Errors
/// None of its own: refusals are answers.
pub async fn edge<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let page = match RequestingPage::of(&request) {
        Ok(page) => page,
        Err(problem) => return Ok(refuse(request, &problem)),
    };
    if !is_for_operators(request.path())
        && let Some(services) = request.app_data::<web::Data<Services>>()
        && let Err(refusal) = services.check_memory()
    {
        return Ok(refuse(request, &refusal.into()));
    }
    if let Some(page) = &page {
        if is_preflight(&request) {
            let answer = page.preflight_answer(&request);
            return Ok(request.into_response(answer).map_into_right_body());
        }
        request.extensions_mut().insert(page.verified());
    }
    if let Err(problem) = check_stays(&request) {
        return Ok(match time_to_come_back(&request) {
            Some(answer) => share(request, answer),
            None => refuse(request, &problem),
        });
    }
    let response = next.call(request).await?;
    let mut response = in_form(response);
    let headers = response.headers_mut();
    protect(headers);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(page) = &page {
        page.grant(headers);
    }
    Ok(response)
}

/// Sends those elsewhere who come while the broker takes leave, but not those who look how it is. Scripts are refused later, in their form.
fn check_stays(request: &ServiceRequest) -> Result<(), Problem> {
    let services = request.app_data::<web::Data<Services>>();
    let is_script =
        request.method() == Method::GET && has_parameter(request.query_string(), "callback");
    if is_script
        || request.path().starts_with(HEALTH)
        || !services.is_some_and(|it| it.is_draining())
    {
        return Ok(());
    }
    let detail =
        "the broker is taking leave of its clients: connect again, to another or in a moment";
    Err(Problem::new(Code::ShuttingDown, detail))
}

/// What an event stream is answered in place of a refusal: with any status but 200, an `EventSource` never connects again
/// ([HTML, section 9.2.3](https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model)). A stream that ends it
/// opens again, at the time that it is told.
fn time_to_come_back(request: &ServiceRequest) -> Option<HttpResponse> {
    if request.method() != Method::GET || !request.path().ends_with("/sse") {
        return None;
    }
    let services = request.app_data::<web::Data<Services>>()?;
    let window = services.config.shutdown.reconnect_window.as_millis();
    let window = u64::try_from(window).unwrap_or(u64::MAX);
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"));
    Some(answer.body(sse::retry(rand::rng().random_range(0..=window))))
}

/// The page that sent a request, as [`edge`] has judged it.
#[derive(Debug, Clone)]
pub(super) struct VerifiedPage {
    /// Its origin; unknown if it was no page.
    pub(super) origin: Origin,
    /// How far the page is trusted, if it was a page.
    pub(super) admission: Option<Admission>,
}

/// The page that sent the request, if a page did, as [`edge`] has judged it.
pub(super) fn verified_page(request: &HttpRequest) -> VerifiedPage {
    let extensions = request.extensions();
    let page = extensions.get().cloned();
    page.unwrap_or_else(|| VerifiedPage {
        origin: Origin::unknown(),
        admission: None,
    })
}

/// A page that may talk to the broker.
struct RequestingPage {
    origin: Origin,
    header: HeaderValue,
    admission: Admission,
}

impl RequestingPage {
    fn of(request: &ServiceRequest) -> Result<Option<Self>, Problem> {
        let services = request
            .app_data::<web::Data<Services>>()
            .ok_or_else(|| Problem::new(Code::Internal, "the services are missing"))?;
        check_host(request.request())?;
        if matches!(*request.method(), Method::POST | Method::DELETE) {
            refuse_foreign_load(request.request())?;
        }
        let host = host(request.request());
        let origin = request.headers().get(header::ORIGIN);
        let is_asked = !is_visit(request) && !request.path().starts_with(CLIENT);
        let Some(header) = origin.filter(|_| is_asked) else {
            check_name(&services.config.server, host, request.path())?;
            return Ok(None);
        };
        let actual = header.len();
        if actual > ORIGIN_BYTES {
            let detail = format!(
                "the Origin has {actual} bytes, and no origin has more than {ORIGIN_BYTES}"
            );
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let text = header.to_str().unwrap_or_default();
        let admission = admit(&services.config.server, text, host);
        if admission == Admission::Refused {
            refused_origins::tell_origin(text);
            let detail = format!(
                "pages of {text} may not talk to this broker: server.allowed_origins does not list it"
            );
            return Err(Problem::new(Code::OriginNotAllowed, detail));
        }
        Ok(Some(Self {
            origin: Origin::verified(text),
            header: header.clone(),
            admission,
        }))
    }

    fn verified(&self) -> VerifiedPage {
        VerifiedPage {
            origin: self.origin.clone(),
            admission: Some(self.admission),
        }
    }

    /// Any header may be sent: which ones matter is up to the endpoint.
    fn preflight_answer(&self, request: &ServiceRequest) -> HttpResponse {
        let asked = request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let mut response = HttpResponse::NoContent().finish();
        let headers = response.headers_mut();
        self.grant(headers);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(METHODS),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static(PREFLIGHT_AGE_SECONDS),
        );
        if let Some(asked) = asked {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers.insert(header::VARY, HeaderValue::from_static(PREFLIGHT_VARY));
        response
    }

    fn grant(&self, headers: &mut HeaderMap) {
        match self.admission {
            Admission::Trusted => share_with(headers, self.header.clone(), Cookies::Allowed),
            Admission::Anybody | Admission::Refused => {
                share_with(headers, HeaderValue::from_static("*"), Cookies::KeptBack);
            }
        }
    }
}

/// Whether a page may read an answer to a request that it has sent with cookies.
#[derive(Clone, Copy, PartialEq)]
enum Cookies {
    Allowed,
    KeptBack,
}

/// Lets the pages of an origin read an answer; those of every origin, if it is a star, with which browsers keep cookies back.
fn share_with(headers: &mut HeaderMap, origin: HeaderValue, cookies: Cookies) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if cookies == Cookies::Allowed {
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

/// Whether somebody goes to a page, or frames it, which reads nothing for the page that leads there. Most browsers send no origin then;
/// Firefox does, and `null` from pages with a `Referrer-Policy`.
fn is_visit(request: &ServiceRequest) -> bool {
    let mode = request.headers().get(&FETCH_MODE);
    request.method() == Method::GET && mode.is_some_and(|mode| mode == "navigate")
}

/// Refuses a request that does not say from which page it comes, and calls the broker by a name that may belong to a foreign
/// page.
fn check_name(settings: &ServerSettings, host: Option<&str>, path: &str) -> Result<(), Problem> {
    // Clients that are no browsers may leave the origin out.
    let Some(host) = host else { return Ok(()) };
    if knows_name(settings, host) || OPEN.iter().any(|open| path.starts_with(open)) {
        return Ok(());
    }
    refused_origins::tell_name(host);
    let detail = format!(
        "the broker listens on loopback only, and does not know that it is {host}: if it is, behind a proxy, list it in server.allowed_origins, such as https://{host}"
    );
    Err(Problem::new(Code::OriginNotAllowed, detail))
}

/// A browser asks whether a page may send a request
/// ([Fetch, section 3.3.2](https://fetch.spec.whatwg.org/#cors-preflight-request)).
fn is_preflight(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    *request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Any page may read why it is refused, also one that has sent cookies: the refusal tells nothing but what the page knows, and its client can
/// stop trying, or try again when it makes sense.
fn refuse<B>(request: ServiceRequest, problem: &Problem) -> ServiceResponse<EitherBody<B>> {
    share(request, problem.error_response())
}

/// An answer that every page may read.
fn share<B>(request: ServiceRequest, mut response: HttpResponse) -> ServiceResponse<EitherBody<B>> {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let origin = request.headers().get(header::ORIGIN);
    match origin.filter(|origin| origin.len() <= ORIGIN_BYTES) {
        Some(origin) => share_with(headers, origin.clone(), Cookies::Allowed),
        None => share_with(headers, HeaderValue::from_static("*"), Cookies::KeptBack),
    }
    protect(headers);
    request.into_response(response).map_into_right_body()
}

/// Errors that other crates answered themselves become problems.
fn in_form<B>(response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
    let Some(problem) = foreign_error(response.response()) else {
        return response.map_into_left_body();
    };
    let answer = problem.error_response();
    response.into_response(answer).map_into_right_body()
}

fn foreign_error<B>(response: &HttpResponse<B>) -> Option<Problem> {
    let error = response.error()?;
    if error.as_error::<Problem>().is_some() {
        return None;
    }
    let code = match response.status() {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Code::MessageTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        status if status.is_client_error() => Code::InvalidRequest,
        _ => Code::Internal,
    };
    if code == Code::Internal {
        static LINE: LogLimit = LogLimit::new();
        if let Some(times) = LINE.due() {
            tracing::error!(times, %error, "a request failed");
        }
        return Some(Problem::new(code, "the broker's log says more"));
    }
    Some(Problem::new(code, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, header, text};
    use crate::config::AllowedOrigin;
    use actix_web::test::TestRequest;

    fn get(origin: &'static str) -> TestRequest {
        TestRequest::get()
            .uri("/health/live")
            .insert_header(("origin", origin))
    }

    #[actix_web::test]
    async fn an_origin_is_no_longer_than_one_can_be() {
        let broker = TestBroker::with(|config| {
            config.server.allowed_origins = vec![AllowedOrigin::Any];
        });
        let status = async |bytes: usize| {
            let origin = "https://".to_owned() + &"a".repeat(bytes - 8);
            let request = TestRequest::post().uri("/channels/news/messages");
            let response = broker.call(request.insert_header(("origin", origin))).await;
            response.status().as_u16()
        };
        assert_eq!(status(300).await, 200);
        assert_eq!(status(301).await, 400);
        let history = broker.get("/channels/news/messages").await;
        assert_eq!(history.matches("\"origin\"").count(), 1, "{history}");
    }

    #[actix_web::test]
    async fn a_page_that_is_not_allowed_is_refused_and_may_read_why() {
        let response = TestBroker::new().call(get("https://evil.example")).await;
        assert_eq!(response.status(), 403);
        let origin = header(&response, "access-control-allow-origin");
        assert_eq!(origin, "https://evil.example");
        // Also when it has asked with cookies.
        let credentials = header(&response, "access-control-allow-credentials");
        assert_eq!(credentials, "true");
        assert_eq!(header(&response, "vary"), "Origin");
        let exposed = header(&response, "access-control-expose-headers");
        assert!(exposed.contains("Retry-After"));
        insta::assert_snapshot!(text(response).await, @r#"{"type":"about:blank","title":"The page's origin is not on the list of allowed origins.","status":403,"detail":"pages of https://evil.example may not talk to this broker: server.allowed_origins does not list it","code":"origin_not_allowed","retryable":false}"#);
    }

    #[actix_web::test]
    async fn any_page_may_load_the_client() {
        for origin in ["https://evil.example", "null"] {
            let request = TestRequest::get()
                .uri("/client/widecast.iife.js")
                .insert_header(("origin", origin));
            let response = TestBroker::new().call(request).await;
            assert_eq!(response.status(), 200);
            assert_eq!(header(&response, "access-control-allow-origin"), "*");
        }
    }

    #[actix_web::test]
    async fn a_trusted_page_may_read_the_answer_and_send_cookies() {
        let response = TestBroker::new().call(get("http://localhost:3000")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            header(&response, "access-control-allow-origin"),
            "http://localhost:3000"
        );
        assert_eq!(
            header(&response, "access-control-allow-credentials"),
            "true"
        );
        assert_eq!(header(&response, "vary"), "Origin");
        assert!(header(&response, "access-control-expose-headers").contains("Widecast-Cursor"));
    }

    #[actix_web::test]
    async fn when_all_origins_are_allowed_cookies_are_not() {
        let broker =
            TestBroker::with(|config| config.server.allowed_origins = vec![AllowedOrigin::Any]);
        let response = broker.call(get("https://other.example")).await;
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
        assert_eq!(header(&response, "access-control-allow-credentials"), "");
    }

    #[actix_web::test]
    async fn a_preflight_is_answered_for_every_path() {
        let request = get("http://localhost:3000")
            .method(Method::OPTIONS)
            .insert_header(("access-control-request-method", "POST"))
            .insert_header((
                "access-control-request-headers",
                "content-type,widecast-sender",
            ));
        let response = TestBroker::new().call(request).await;
        assert_eq!(response.status(), 204);
        assert_eq!(header(&response, "access-control-allow-methods"), METHODS);
        assert_eq!(
            header(&response, "access-control-allow-headers"),
            "content-type,widecast-sender"
        );
    }

    #[actix_web::test]
    async fn a_page_that_comes_while_the_broker_takes_leave_may_read_that_it_is_to_go_elsewhere() {
        let broker = TestBroker::new();
        broker.services.drain();
        let post = |method| {
            let request = TestRequest::default().method(method);
            let request = request.uri("/channels/news/messages");
            request.insert_header(("origin", "http://localhost:3000"))
        };
        let asked = post(Method::OPTIONS).insert_header(("access-control-request-method", "POST"));
        assert_eq!(broker.call(asked).await.status(), 204);
        let response = broker.call(post(Method::POST)).await;
        assert_eq!(response.status(), 503);
        let origin = header(&response, "access-control-allow-origin");
        assert_eq!(origin, "http://localhost:3000");
        assert_eq!(header(&response, "retry-after"), "1");
        assert!(text(response).await.contains("shutting_down"));
    }

    #[actix_web::test]
    async fn a_page_of_a_name_that_was_pointed_at_loopback_reads_nothing() {
        let get = |path: &str, host: &'static str| {
            TestRequest::get().uri(path).insert_header(("host", host))
        };
        let broker = TestBroker::new();
        let response = broker
            .call(get("/channels/news", "evil.example:8080"))
            .await;
        assert_eq!(response.status(), 403);
        insta::assert_snapshot!(text(response).await, @r#"{"type":"about:blank","title":"The page's origin is not on the list of allowed origins.","status":403,"detail":"the broker listens on loopback only, and does not know that it is evil.example:8080: if it is, behind a proxy, list it in server.allowed_origins, such as https://evil.example:8080","code":"origin_not_allowed","retryable":false}"#);

        let listed = AllowedOrigin::Exact("https://push.example".to_owned());
        let proxied = TestBroker::with(|config| config.server.allowed_origins = vec![listed]);
        for (broker, path, host) in [
            (&broker, "/channels/news", "localhost:8080"),
            (&broker, "/client/widecast.js", "push.example"),
            (&broker, "/health/live", "push.example"),
            (&proxied, "/channels/news", "push.example"),
        ] {
            let response = broker.call(get(path, host)).await;
            assert_eq!(response.status(), 200, "{host}{path}");
        }
        // A page of a listed origin may call it as it likes: the browser vouches for it.
        let request = get("/channels/news", "other.example")
            .insert_header(("origin", "https://push.example"));
        assert_eq!(proxied.call(request).await.status(), 200);
    }

    #[actix_web::test]
    async fn a_visit_to_a_page_needs_no_origin() {
        let broker = TestBroker::new();
        let visit = |request: TestRequest, mode: &'static str| {
            let request = request.insert_header(("origin", "null"));
            request.insert_header(("sec-fetch-mode", mode))
        };
        let bridge = || TestRequest::get().uri("/bridge.html");
        assert_eq!(broker.call(visit(bridge(), "navigate")).await.status(), 200);
        assert_eq!(broker.call(visit(bridge(), "cors")).await.status(), 403);
        let form = TestRequest::post().uri("/channels/news/messages");
        assert_eq!(broker.call(visit(form, "navigate")).await.status(), 403);
    }

    #[actix_web::test]
    async fn an_unknown_path_is_a_problem() {
        let response = TestBroker::new()
            .call(TestRequest::get().uri("/nowhere?x=1"))
            .await;
        assert_eq!(response.status(), 404);
        assert_eq!(
            header(&response, "content-type"),
            "application/problem+json"
        );
        insta::assert_snapshot!(text(response).await, @r#"{"type":"about:blank","title":"There is nothing at this address.","status":404,"detail":"nothing is at /nowhere","code":"not_found","retryable":false}"#);
    }
}
