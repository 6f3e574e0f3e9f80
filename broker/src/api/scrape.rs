//! `GET /metrics`: what the broker counts about itself, for Prometheus.

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse};
use widecast_protocol::Code;

use super::answer;
use crate::engine::EngineFigures;
use crate::http::{Caller, Problem};
use crate::metrics::{Exposition, Storage, render};

pub(super) async fn scrape(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let accept = request.headers().get(ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let exposition = Exposition::accepted_by(accept.unwrap_or_default());
    show_storage(
        &caller.services.metrics.storage,
        caller.services.engine.figures(),
    );
    let text = render(&caller.services.metrics, exposition)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(answer::bytes(exposition.content_type(), text.into()))
}

fn show_storage(storage: &Storage, figures: EngineFigures) {
    storage.channels.set(gauge(figures.channels));
    storage
        .history_messages
        .set(gauge(figures.history_messages));
    storage.history_bytes.set(gauge(figures.history_bytes));
    storage.presence_members.set(gauge(figures.members));
    storage.set_evicted_bytes(figures.evicted_bytes);
}

fn gauge(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
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
        assert!(plain.contains("\nwidecast_channels 1\n"), "{plain}");
        assert!(plain.contains("\nwidecast_history_messages 1\n"), "{plain}");
        let request = TestRequest::get().uri("/metrics");
        let open = request.insert_header(("accept", "application/openmetrics-text; version=1.0.0"));
        let open = broker.call(open).await;
        assert!(header(&open, "content-type").starts_with("application/openmetrics-text"));
        assert!(text(open).await.ends_with("# EOF\n"));
    }
}
