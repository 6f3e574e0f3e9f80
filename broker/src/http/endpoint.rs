//! One path and the methods it answers: whatever else is asked of it is told what they are.

use actix_web::http::Method;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};

use super::problem::Problem;
use widecast_protocol::Code;

/// The methods that any endpoint answers.
pub(super) const METHODS: &str = "GET, HEAD, POST, DELETE, OPTIONS";

/// Answers a request for something that no endpoint has. `*` is the broker as a whole, of which it can be asked what it does
/// ([RFC 9110, section 9.3.7](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.7)).
///
/// # Errors
/// `not_found`; `invalid_request` when anything else is asked of the broker as a whole.
pub async fn elsewhere(request: HttpRequest) -> Result<HttpResponse, Problem> {
    match (request.method(), request.path()) {
        (&Method::OPTIONS, "*") => Ok(options(HeaderValue::from_static(METHODS))),
        (method, "*") => {
            let detail =
                format!("{method} needs a path: only OPTIONS can ask for *, the broker as a whole");
            Err(Problem::new(Code::InvalidRequest, detail))
        }
        (_, "") => {
            let detail = "the broker is no proxy: ask for a path of its own";
            Err(Problem::new(Code::NotFound, detail))
        }
        (_, path) => Err(Problem::not_found(path)),
    }
}

fn options(allow: HeaderValue) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((ALLOW, allow)).finish()
}

/// A path with its handlers. `HEAD` comes with `GET` unless it is a stream, and `OPTIONS` with every path.
pub struct Endpoint {
    resource: Resource,
    allow: Vec<&'static str>,
}

impl Endpoint {
    /// An endpoint at a path pattern of the router.
    pub fn at(path: &str) -> Self {
        Self {
            resource: web::resource(path.to_owned()),
            allow: Vec::new(),
        }
    }

    /// Answers `GET`, and `HEAD` with the same headers.
    #[must_use]
    pub fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.extend(["GET", "HEAD"]);
        // The HTTP layer leaves the body of an answer to HEAD out by itself.
        let head = web::head().to(handler.clone());
        self.resource = self.resource.route(web::get().to(handler)).route(head);
        self
    }

    /// Answers `GET` with a connection that stays. Not `HEAD`: there would be a session behind the head, and its bytes.
    #[must_use]
    pub fn stream<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("GET");
        self.resource = self.resource.route(web::get().to(handler));
        self
    }

    /// Answers `POST`.
    #[must_use]
    pub fn post<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("POST");
        self.resource = self.resource.route(web::post().to(handler));
        self
    }

    /// Answers `DELETE`.
    #[must_use]
    pub fn delete<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("DELETE");
        self.resource = self.resource.route(web::delete().to(handler));
        self
    }

    /// Puts the endpoint into the router.
    pub fn mount(mut self, config: &mut web::ServiceConfig) {
        self.allow.push("OPTIONS");
        let allow = header_value(&self.allow);
        let allowed = allow.clone();
        let options = web::method(Method::OPTIONS).to(move || {
            let response = options(allowed.clone());
            async move { response }
        });
        let refuse = web::to(move |request: HttpRequest| {
            let problem = Problem::method_not_allowed(request.method().as_str(), allow.clone());
            async move { Err::<HttpResponse, _>(problem) }
        });
        config.service(self.resource.route(options).default_service(refuse));
    }
}

fn header_value(methods: &[&'static str]) -> HeaderValue {
    HeaderValue::from_str(&methods.join(", ")).expect("names of methods are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{App, test};

    #[actix_web::test]
    async fn an_endpoint_says_which_methods_it_answers() {
        let configure = |config: &mut web::ServiceConfig| {
            Endpoint::at("/here")
                .get(|| async { "got" })
                .post(|| async { "posted" })
                .mount(config);
        };
        let app = test::init_service(App::new().configure(configure)).await;
        let call = |request: test::TestRequest| {
            test::call_service(&app, request.uri("/here").to_request())
        };

        let response = call(test::TestRequest::delete()).await;
        assert_eq!(response.status(), 405);
        assert_eq!(
            response.headers().get("allow").unwrap(),
            "GET, HEAD, POST, OPTIONS"
        );
        let body = test::read_body(response).await;
        insta::assert_snapshot!(String::from_utf8_lossy(&body), @r#"{"type":"about:blank","title":"The address does not answer this method.","status":405,"detail":"DELETE is not possible here, only GET, HEAD, POST, OPTIONS","code":"method_not_allowed","retryable":false}"#);

        let response =
            call(test::TestRequest::with_uri("/here").method(actix_web::http::Method::OPTIONS))
                .await;
        assert_eq!(response.status(), 204);
        assert_eq!(
            response.headers().get("allow").unwrap(),
            "GET, HEAD, POST, OPTIONS"
        );

        let head = call(test::TestRequest::default().method(actix_web::http::Method::HEAD)).await;
        assert_eq!(head.status(), 200);
    }

    #[actix_web::test]
    async fn a_stream_has_no_head() {
        let configure = |config: &mut web::ServiceConfig| {
            Endpoint::at("/here").stream(|| async { "…" }).mount(config);
        };
        let app = test::init_service(App::new().configure(configure)).await;
        let head = test::TestRequest::with_uri("/here").method(actix_web::http::Method::HEAD);
        let response = test::call_service(&app, head.to_request()).await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers().get("allow").unwrap(), "GET, OPTIONS");
    }
}
