//! `GET /metrics`: what the broker counts about itself, for Prometheus. Only for the operator.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use widecast_protocol::Code;

use super::answer;
use super::operator::Operator;
use crate::engine::{EngineFigures, NamedEngine};
use crate::http::{Problem, prefers};
use crate::memory_budget::{Part, given_up, held, level};
use crate::metrics::{EngineLabels, Engines, Exposition, Limit, ServerLabels, render};
use crate::session::Services;

pub(super) async fn scrape(
    request: HttpRequest,
    services: web::Data<Services>,
    _operator: Operator,
) -> Result<HttpResponse, Problem> {
    let exposition = if prefers(&request, &["application/openmetrics-text"], "text/plain") {
        Exposition::OpenMetrics
    } else {
        Exposition::Prometheus
    };
    show_engines(&services);
    show_memory(&services);
    show_revocations(&services);
    let text = render(&services.metrics, exposition)
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
    let limits = &services.metrics.limits;
    limits.set_refused(Limit::Unfinished, given_up(Part::Unfinished));
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
    use crate::api::testing::{TestBroker, from_this_machine, header, text};

    #[actix_web::test]
    async fn a_scraper_gets_the_form_that_it_asks_for() {
        let broker = TestBroker::new();
        broker
            .post("/channels/a/messages", "text/plain", "hello")
            .await;
        let plain = broker.call(from_this_machine("/metrics")).await;
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
        let open = from_this_machine("/metrics");
        let open = open.insert_header(("accept", "application/openmetrics-text; version=1.0.0"));
        let open = broker.call(open).await;
        assert!(header(&open, "content-type").starts_with("application/openmetrics-text"));
        assert!(text(open).await.ends_with("# EOF\n"));
    }

    #[actix_web::test]
    async fn whoever_is_elsewhere_reads_no_figures_of_a_broker_without_authentication() {
        let broker = TestBroker::new();
        let distant = || from_this_machine("/metrics").peer_addr(([192, 0, 2, 1], 50000).into());
        let proxied = from_this_machine("/metrics").insert_header(("x-forwarded-for", "192.0.2.1"));
        let renamed = from_this_machine("/metrics").insert_header(("host", "push.example"));
        for request in [distant(), proxied, renamed] {
            assert_eq!(broker.call(request).await.status(), 403);
        }
        let detail = text(broker.call(distant()).await).await;
        assert!(detail.contains("the broker's own machine"), "{detail}");
    }
}
