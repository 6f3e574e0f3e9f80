//! The credential in a request: cookies above all, which browsers send with whatever a page asks for.

#![no_main]

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::test::TestRequest;
use actix_web::web;
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use widecast::auth::{Authenticator, Subject};
use widecast::config::{Config, Layers};
use widecast::engine::{Engine, MemoryEngine, MemorySettings, SystemClock};
use widecast::http::proven;
use widecast::metrics::Metrics;
use widecast::registry::Routes;
use widecast::session::Services;

/// A broker whose only API key nobody has, so that no credential is ever good.
static SERVICES: LazyLock<Arc<Services>> = LazyLock::new(|| {
    let nobody = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    let config: Config = Layers::new()
        .set("auth.cookie=t")
        .set("auth.api_key.0.name=nobody")
        .set(&format!("auth.api_key.0.hash={nobody}"))
        .load()
        .expect("these are settings")
        .config;
    let auth = Authenticator::new(&config).expect("there are no files");
    let routes = Routes::new();
    let deliver = Arc::clone(&routes) as _;
    let engine = MemoryEngine::new(MemorySettings::default(), Arc::new(SystemClock), deliver);
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let metrics = Arc::new(Metrics::new());
    Arc::new(Services::new(
        Arc::new(config),
        auth,
        engine,
        metrics,
        routes,
    ))
});

/// The value of the cookie `t`, read in the plainest way.
fn cookie(header: &str) -> Option<&str> {
    let pairs = header.split(';').map(str::trim);
    let mut values = pairs.filter_map(|pair| pair.strip_prefix("t="));
    values.find(|value| !value.is_empty())
}

fn asks(headers: &[(&'static str, &[u8])]) -> Option<Result<bool, String>> {
    let mut request = TestRequest::get().app_data(web::Data::from(Arc::clone(&SERVICES)));
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).ok()?;
        request = request.insert_header((HeaderName::from_static(name), value));
    }
    let request = request.to_http_request();
    let proven = proven(&request)
        .now_or_never()
        .expect("nothing has to be fetched");
    Some(match proven {
        Ok(principal) => Ok(matches!(principal.subject(), Subject::Anonymous)),
        Err(problem) => Err(problem.to_string()),
    })
}

fuzz_target!(|input: (&[u8], &[u8])| {
    let (cookies, authorization) = input;
    // A page of the broker's own: the cookie counts, and proves nothing.
    let own: (&str, &[u8]) = ("sec-fetch-site", b"same-origin");
    if let Some(outcome) = asks(&[("cookie", cookies), own])
        && let Ok(text) = std::str::from_utf8(cookies)
        && text.is_ascii()
    {
        assert_eq!(outcome.is_err(), cookie(text).is_some(), "{outcome:?}");
    }
    // Without a page it does not.
    if let Some(outcome) = asks(&[("cookie", cookies)]) {
        assert_eq!(outcome, Ok(true));
    }
    // Nothing in the header is good either, and it comes before any cookie.
    if let Some(outcome) = asks(&[("authorization", authorization), ("cookie", cookies), own]) {
        assert!(outcome.is_err());
    }
});
