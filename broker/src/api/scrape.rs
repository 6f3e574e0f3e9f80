//! `GET /metrics`: what the broker counts about itself, for Prometheus.

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse};
use widecast_protocol::Code;

use super::answer;
use crate::http::Caller;
use crate::http::Problem;
use crate::metrics::{Exposition, render};

pub(super) async fn scrape(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let accept = request.headers().get(ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let exposition = Exposition::accepted_by(accept.unwrap_or_default());
    let text = render(&caller.services.metrics, exposition)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(answer::bytes(exposition.content_type(), text.into()))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{Broker, header, text};
    use actix_web::test::TestRequest;

    #[actix_web::test]
    async fn a_scraper_gets_the_form_that_it_asks_for() {
        let broker = Broker::new();
        broker
            .post("/channels/a/messages", "text/plain", "hello")
            .await;
        let plain = broker.call(TestRequest::get().uri("/metrics")).await;
        assert_eq!(
            header(&plain, "content-type"),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let plain = text(plain).await;
        assert!(
            plain.contains("\nwidecast_messages_published_total 1\n"),
            "{plain}"
        );
        assert!(
            plain.contains("\nwidecast_messages_published_bytes_total 5\n"),
            "{plain}"
        );
        let request = TestRequest::get().uri("/metrics");
        let open = request.insert_header(("accept", "application/openmetrics-text; version=1.0.0"));
        let open = broker.call(open).await;
        assert!(header(&open, "content-type").starts_with("application/openmetrics-text"));
        assert!(text(open).await.ends_with("# EOF\n"));
    }
}
