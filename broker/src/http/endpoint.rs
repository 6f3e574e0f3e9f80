//! One path and the methods it answers: whatever else is asked of it is told what they are.

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};

use super::problem::Problem;

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
        let options = allow.clone();
        let options = web::method(actix_web::http::Method::OPTIONS).to(move || {
            let allow = options.clone();
            async move {
                HttpResponse::NoContent()
                    .insert_header((ALLOW, allow))
                    .finish()
            }
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
