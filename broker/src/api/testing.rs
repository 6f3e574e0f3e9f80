//! A broker without sockets for the tests of endpoints: the memory engine behind the real router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{ServerHandle, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpServer, web};
use widecast_protocol::{ChannelName, EncodedMessage};

use super::configure;
use crate::auth::Authenticator;
use crate::config::Config;
use crate::engine::flaky::{FlakyEngine, FlakyStore};
use crate::engine::{Clock, Deliver, Engine, MemoryEngine, MemorySettings, NumberedChange};
use crate::health;
use crate::http::edge;
use crate::metrics::Metrics;
use crate::pages;
use crate::registry::Routes;
use crate::session::Services;

/// Time that stands still.
struct StoppedClock(Instant);

impl Clock for StoppedClock {
    fn now(&self) -> Instant {
        self.0
    }

    fn wall_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

/// Two subscribers on every channel, who do not care.
struct TwoListeners;

impl Deliver for TwoListeners {
    fn deliver(&self, _: Arc<EncodedMessage>) -> u64 {
        2
    }

    fn presence(&self, _: &ChannelName, _: NumberedChange) {}

    fn lost(&self, _: &ChannelName) {}
}

/// A broker to send requests to.
pub(crate) struct TestBroker {
    pub(crate) services: web::Data<Services>,
}

impl TestBroker {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self::on(Arc::new(Self::engine()), config)
    }

    /// An engine whose time stands still.
    pub(crate) fn engine() -> MemoryEngine {
        let clock = Arc::new(StoppedClock(Instant::now()));
        MemoryEngine::new(MemorySettings::default(), clock, Arc::new(TwoListeners))
    }

    /// The same, which takes its time when a test wants it to.
    pub(crate) fn flaky_engine() -> FlakyEngine {
        let clock = Arc::new(StoppedClock(Instant::now()));
        FlakyStore::new(MemorySettings::default(), clock).node(Arc::new(TwoListeners))
    }

    pub(crate) fn on(engine: Arc<dyn Engine>, config: Config) -> Self {
        let metrics = Arc::new(Metrics::new());
        let auth = Authenticator::new(&config).unwrap();
        let services = Services::new(Arc::new(config), auth, engine, metrics, Routes::new());
        Self {
            services: web::Data::new(services),
        }
    }

    pub(crate) async fn call(&self, request: TestRequest) -> ServiceResponse<BoxBody> {
        let app = App::new()
            .app_data(self.services.clone())
            .wrap(from_fn(edge))
            .configure(configure)
            .configure(pages::configure)
            .configure(health::configure);
        let app = init_service(app).await;
        let response = call_service(&app, request.to_request()).await;
        response.map_into_boxed_body()
    }

    /// The same broker behind a real socket.
    pub(crate) fn serve(&self) -> (SocketAddr, ServerHandle) {
        let services = self.services.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(services.clone())
                .wrap(from_fn(edge))
                .configure(configure)
                .configure(pages::configure)
        });
        let server = server
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        (address, handle)
    }

    /// The answer to a `GET`: status and text.
    pub(crate) async fn get(&self, path: &str) -> String {
        shown(self.call(TestRequest::get().uri(path)).await).await
    }

    /// The figures that the operator is shown.
    pub(crate) async fn metrics(&self) -> String {
        text(self.call(from_this_machine("/metrics")).await).await
    }

    /// The answer to a `POST`: status and text.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<web::Bytes>,
    ) -> String {
        let request = TestRequest::post()
            .uri(path)
            .insert_header(("content-type", content_type))
            .set_payload(body);
        shown(self.call(request).await).await
    }
}

/// A `GET` of somebody on the broker's own machine.
pub(crate) fn from_this_machine(path: &str) -> TestRequest {
    TestRequest::get()
        .uri(path)
        .peer_addr(([127, 0, 0, 1], 50000).into())
        .insert_header(("host", "localhost:8080"))
}

/// A header of an answer; empty when there is none.
pub(crate) fn header<'a>(response: &'a ServiceResponse<BoxBody>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// Status and text of an answer, with the word EPOCH for epochs, which are random.
pub(crate) async fn shown(response: ServiceResponse<BoxBody>) -> String {
    let status = response.status().as_u16();
    format!("{status} {}", text(response).await)
}

/// The text of an answer, with the word EPOCH for epochs, which are random.
pub(crate) async fn text(response: ServiceResponse<BoxBody>) -> String {
    let bytes = to_bytes(response.into_body()).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = replace_after(&text, "\"epoch\":\"", '"');
    replace_after(&text, "\"cursor\":\"", '-')
}

fn replace_after(text: &str, before: &str, end: char) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.find(end).map_or(part, |at| &part[at..]);
        out.extend([before, "EPOCH", rest]);
    }
    out
}
