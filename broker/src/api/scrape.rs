//! `GET /metrics`: what the broker counts about itself, for Prometheus.

use actix_web::{HttpRequest, HttpResponse};
use widecast_protocol::Code;

use super::answer;
use super::operator::Operator;
use crate::engine::EngineFigures;
use crate::http::{Caller, Problem, prefers};
use crate::memory_budget::{Part, held, level};
use crate::metrics::{Engines, Exposition, render};
use crate::session::Services;

pub(super) async fn scrape(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    if caller.services.config.has_authentication() {
        Operator::check(&request).await?;
    }
    let exposition = if prefers(&request, &["application/openmetrics-text"], "text/plain") {
        Exposition::OpenMetrics
    } else {
        Exposition::Prometheus
    };
    show_engines(
        &caller.services.metrics.engines,
        caller.services.engine.figures(),
    );
    let servers = caller.services.engine.servers();
    let servers = servers.into_iter().map(|one| (one.name, one.is_ready));
    caller.services.metrics.engines.server.set_ready(servers);
    show_memory(&caller.services);
    show_revocations(&caller.services);
    let text = render(&caller.services.metrics, exposition)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(answer::body(exposition.content_type(), text))
}

fn show_engines(engines: &Engines, figures: EngineFigures) {
    engines.channels.set(gauge(figures.channels));
    engines
        .history_messages
        .set(gauge(figures.history_messages));
    engines.history_bytes.set(gauge(figures.history_bytes));
    engines.disk_bytes.set(gauge(figures.disk_bytes));
    engines.presence_members.set(gauge(figures.members));
    engines.set_evicted_bytes(figures.evicted_bytes);
    let server = figures.server;
    engines.server.waiting.set(gauge(server.waiting));
    engines.server.set_commands(server.commands, server.waited);
    engines.server.set_losses(server.reconnects, server.rereads);
}

fn show_memory(services: &Services) {
    let figures = &services.metrics.memory;
    for &part in Part::ALL {
        figures.set_part(part.name(), held(part));
    }
    figures.set_limit(services.bounds.ceiling);
    figures.pressure.set(level() as i64);
}

fn show_revocations(services: &Services) {
    let figures = &services.metrics.tokens;
    let revocations = services.auth.revocations();
    figures.revocations.set(gauge(revocations.count() as u64));
    figures.set_revoked(revocations.refused());
}

fn gauge(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{TestBroker, header, text};
    use actix_web::test::TestRequest;

    #[actix_web::test]
    async fn a_scraper_gets_the_form_that_it_asks_for() {
        let broker = TestBroker::new();
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
