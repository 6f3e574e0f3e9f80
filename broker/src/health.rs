//! `GET /health/live` and `/health/ready`, for whoever watches over the process or sends it clients.
//!
//! Live: the process answers; when it does not, restart it. Ready: it can serve clients; while it cannot, send them
//! elsewhere. A broker that drains is live and not ready.

use std::time::Duration;

use actix_web::rt::time::timeout;
use actix_web::{HttpResponse, web};
use serde_json::json;
use widecast_protocol::Code;

use crate::http::{Endpoint, Problem};
use crate::session::{Refusal, Services};

/// How long the engine may take to say that it works: less than the usual second of a probe.
const PATIENCE: Duration = Duration::from_millis(800);

/// Puts the endpoints into the router.
pub fn configure(config: &mut web::ServiceConfig) {
    Endpoint::at("/health/live").get(live).mount(config);
    Endpoint::at("/health/ready").get(ready).mount(config);
}

async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(json!({ "status": "live" }))
}

async fn ready(services: web::Data<Services>) -> Result<HttpResponse, Problem> {
    if services.is_draining() {
        let detail = "the broker is taking leave of its clients";
        return Err(Problem::new(Code::ShuttingDown, detail));
    }
    Refusal::while_full()?;
    let Ok(health) = timeout(PATIENCE, services.engine.health()).await else {
        let detail = format!("the engine did not answer in {} ms", PATIENCE.as_millis());
        return Err(Problem::new(Code::EngineUnavailable, detail));
    };
    health.map_err(Refusal::from)?;
    Ok(HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(json!({ "status": "ready" })))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::TestBroker;

    #[actix_web::test]
    async fn a_broker_that_drains_is_live_and_not_ready() {
        let broker = TestBroker::new();
        insta::assert_snapshot!(broker.get("/health/live").await, @r#"200 {"status":"live"}"#);
        insta::assert_snapshot!(broker.get("/health/ready").await, @r#"200 {"status":"ready"}"#);
        broker.services.drain();
        insta::assert_snapshot!(broker.get("/health/live").await, @r#"200 {"status":"live"}"#);
        insta::assert_snapshot!(broker.get("/health/ready").await, @r#"503 {"type":"about:blank","title":"The broker is shutting down: reconnect, to another or to the next.","status":503,"detail":"the broker is taking leave of its clients","code":"shutting_down","retryable":true}"#);
    }
}
