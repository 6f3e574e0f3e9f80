//! `GET /metrics`: what the broker counts about itself, for Prometheus.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse};
use widecast_protocol::Code;

use super::answer;
use super::operator::Operator;
use crate::engine::{EngineFigures, NamedEngine};
use crate::http::{Caller, Problem, prefers};
use crate::memory_budget::{Part, held, level};
use crate::metrics::{EngineLabels, Engines, Exposition, ServerLabels, render};
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
    show_engines(&caller.services);
    show_memory(&caller.services);
    show_revocations(&caller.services);
    let text = render(&caller.services.metrics, exposition)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(answer::body(exposition.content_type(), text))
}

fn show_engines(services: &Services) {
    let figures = &services.metrics.engines;
    let mut sums: BTreeMap<&str, EngineFigures> = BTreeMap::new();
    for NamedEngine { name, engine } in &services.engines {
        let sum = sums.entry(name).or_default();
        *sum = sum.plus(engine.figures());
        for server in engine.servers() {
            let labels = ServerLabels {
                engine: name.clone(),
                server: server.name,
            };
            let ready = &figures.server.ready;
            ready.set(&labels, u64::from(server.is_ready));
        }
    }
    for (name, sum) in sums {
        show_engine(figures, name, &sum);
    }
}

fn show_engine(engines: &Engines, name: &str, figures: &EngineFigures) {
    let one = EngineLabels::of(name);
    engines.channels.set(&one, figures.channels);
    engines.presence_members.set(&one, figures.members);
    if let Some(server) = figures.server {
        let shown = &engines.server;
        shown.waiting.set(&one, server.waiting);
        shown.command_duration.set_counts(&one, server.latency);
        shown.reconnects.set_total(&one, server.reconnects);
        shown.rereads.set_total(&one, server.rereads);
        // Nobody here knows what the server keeps.
        return;
    }
    engines.history_messages.set(&one, figures.history_messages);
    engines.history_bytes.set(&one, figures.history_bytes);
    engines.evicted_bytes.set_total(&one, figures.evicted_bytes);
    if let Some(writes) = figures.writes {
        let shown = &engines.disk;
        shown.bytes.set(&one, figures.disk_bytes);
        shown.write_duration.set_counts(&one, writes.latency);
        shown.unwritten.set(&one, writes.waiting);
        shown.unwritten_bytes.set(&one, writes.waiting_bytes);
    }
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
        for figure in ["channels", "history_messages"] {
            let sample = format!("\nwidecast_{figure}{{engine=\"default\"}} 1\n");
            assert!(plain.contains(&sample), "{plain}");
        }
        let request = TestRequest::get().uri("/metrics");
        let open = request.insert_header(("accept", "application/openmetrics-text; version=1.0.0"));
        let open = broker.call(open).await;
        assert!(header(&open, "content-type").starts_with("application/openmetrics-text"));
        assert!(text(open).await.ends_with("# EOF\n"));
    }
}
