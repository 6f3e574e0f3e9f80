//! Writes the figures in the two text forms that Prometheus reads.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use prometheus_client::encoding::text::encode;

use super::Metrics;

/// A text form of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/).
    OpenMetrics,
    /// The [Prometheus text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/), for people and
    /// for everything that does not ask for the other.
    Prometheus,
}

impl Exposition {
    /// The media type of the form.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All figures as text.
///
/// # Errors
/// When a figure cannot be written, which no figure of ours does.
pub fn render(metrics: &Metrics, exposition: Exposition) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(16 * 1024);
    encode(&mut text, metrics.registry())?;
    match exposition {
        Exposition::OpenMetrics => Ok(text),
        Exposition::Prometheus => as_prometheus(&text),
    }
}

/// The older form differs in the descriptions only: they name a counter by its sample, know no `info`, no unit and no
/// end mark.
fn as_prometheus(text: &str) -> Result<String, fmt::Error> {
    let mut out = String::with_capacity(text.len());
    // The help of a metric stands before its type, which decides the name in both lines.
    let mut help = None;
    for line in text.lines() {
        if let Some(description) = line.strip_prefix("# HELP ") {
            help = description.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|description| description.split_once(' '))
        {
            let (name, kind) = sample_name(name, kind);
            if let Some((_, help)) = help.take() {
                writeln!(out, "# HELP {name} {help}")?;
            }
            writeln!(out, "# TYPE {name} {kind}")?;
        } else if !line.starts_with('#') {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out)
}

fn sample_name<'a>(name: &'a str, kind: &'a str) -> (Cow<'a, str>, &'a str) {
    match kind {
        "counter" => (format!("{name}_total").into(), kind),
        "info" => (format!("{name}_info").into(), "gauge"),
        _ => (name.into(), kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Policy, ResumeOutcome};
    use std::time::Duration;
    use widecast_protocol::ChannelName;

    fn lines_with(text: &str, part: &str) -> String {
        let mut lines: Vec<_> = text.lines().filter(|line| line.contains(part)).collect();
        // The samples of a family come in any order.
        lines.sort_by_key(|line| {
            (
                !line.starts_with('#'),
                if line.starts_with('#') { "" } else { line },
            )
        });
        lines.join("\n")
    }

    #[test]
    fn openmetrics_names_units_and_ends_with_a_mark() {
        let metrics = Metrics::new();
        metrics.sessions.opened("sse");
        metrics.deliveries.dropped(Policy::DropOldest, 3);
        let text = render(&metrics, Exposition::OpenMetrics).unwrap();
        insta::assert_snapshot!(lines_with(&text, "widecast_messages_dropped"), @r#"
        # HELP widecast_messages_dropped Messages that a full outbox did not take or gave up, by policy.
        # TYPE widecast_messages_dropped counter
        widecast_messages_dropped_total{policy="disconnect"} 0
        widecast_messages_dropped_total{policy="drop_oldest"} 3
        widecast_messages_dropped_total{policy="latest"} 0
        "#);
        assert!(text.contains("# UNIT widecast_outbox_bytes bytes\n"));
        assert!(text.contains("widecast_sessions{transport=\"sse\"} 1\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_older_form_describes_a_counter_by_its_sample() {
        let metrics = Metrics::new();
        metrics.publications.accepted.inc_by(2);
        metrics.sessions.resumed(ResumeOutcome::Lost);
        let channel = ChannelName::parse("a").unwrap();
        metrics
            .publications
            .took(&channel, Duration::from_millis(1));
        let text = render(&metrics, Exposition::Prometheus).unwrap();
        insta::assert_snapshot!(lines_with(&text, "widecast_messages_published_total"), @"
        # HELP widecast_messages_published_total Messages accepted, without duplicates.
        # TYPE widecast_messages_published_total counter
        widecast_messages_published_total 2
        ");
        assert!(text.contains("# TYPE widecast_build_info gauge\nwidecast_build_info{version="));
        assert!(text.contains(
            "widecast_publish_duration_seconds_bucket{le=\"0.0016\",engine=\"default\"} 1\n"
        ));
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
    }

    #[test]
    fn the_high_water_mark_only_rises() {
        let metrics = Metrics::new();
        metrics.deliveries.outbox_held(7);
        metrics.deliveries.outbox_held(5);
        let text = render(&metrics, Exposition::Prometheus).unwrap();
        assert!(text.contains("\nwidecast_outbox_high_water_bytes 7\n"));
    }
}
