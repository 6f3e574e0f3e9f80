//! The figures of each engine of a broker that has several.

use std::time::Instant;

use anyhow::Result;
use widecast_tests::metrics::Metrics;
use widecast_tests::{Broker, Heard, Join, Settings, Transport, eventually};

/// A broker with an engine in memory, and one on a disk for two namespaces: one of a short history, and one without.
async fn broker() -> Result<Broker> {
    let settings = Settings::new()
        .key("engine.kept.kind", "\"disk\"")
        .key("engine.kept.path", "\"{directory}/kept\"")
        .key("namespace.short.engine", "\"kept\"")
        .history("short", 2, 65_536)
        .key("namespace.typing.engine", "\"kept\"")
        .key("namespace.typing.ephemeral", "true");
    Broker::with(settings).await
}

/// A figure of the engine in memory, and of that on the disk; 0 for one that does not have it.
fn of_both(metrics: &Metrics, name: &str) -> [f64; 2] {
    ["default", "kept"].map(|engine| metrics.sum(&[name, &format!("engine=\"{engine}\"")]))
}

/// Whether a figure is this for each engine.
fn are(found: [f64; 2], expected: [u32; 2]) -> bool {
    let mut both = found.into_iter().zip(expected);
    both.all(|(found, expected)| (found - f64::from(expected)).abs() < f64::EPSILON)
}

fn assert_both(metrics: &Metrics, name: &str, expected: [u32; 2]) {
    let found = of_both(metrics, name);
    assert!(are(found, expected), "{name}: {found:?}");
}

#[tokio::test]
async fn each_engine_has_its_own_figures() -> Result<()> {
    let broker = broker().await?;
    for (channel, count) in [("news", 2), ("other", 1), ("short:a", 5), ("typing:a", 4)] {
        for number in 0..count {
            broker.publisher().publish(channel, number).await?;
        }
    }
    // Who writes answers before the write is counted. One write may be of several messages, but not of those that came one by one.
    eventually("all writes are counted", async || {
        let metrics = broker.metrics().await?;
        let writes = of_both(&metrics, "widecast_engine_write_duration_seconds_count{");
        Ok(are(writes, [0, 5]))
    })
    .await?;
    let metrics = broker.metrics().await?;
    // What is ephemeral is not written, but counts for the engine that its namespace has chosen.
    assert_both(&metrics, "widecast_publish_duration_seconds_count{", [3, 9]);
    assert_both(&metrics, "widecast_channels{", [2, 1]);
    let [memory, disk] = of_both(&metrics, "widecast_history_bytes{");
    assert!(memory > 0.0 && disk > 0.0, "{memory} {disk}");
    let [memory, disk] = of_both(&metrics, "widecast_history_disk_bytes{");
    assert!(memory < 1.0 && disk > 0.0, "{memory} {disk}");
    assert_both(&metrics, "widecast_engine_unwritten_messages{", [0, 0]);
    assert_both(&metrics, "widecast_engine_unwritten_bytes{", [0, 0]);
    Ok(())
}

#[tokio::test]
async fn a_gap_is_counted_for_the_engine_that_has_the_channel() -> Result<()> {
    let broker = broker().await?;
    for channel in ["news", "short:a"] {
        let start = broker.end_of(channel).await?;
        for number in 0..5 {
            broker.publisher().publish(channel, number).await?;
        }
        let join = Join::channel(channel).from(start);
        let mut subscriber = broker.join(Transport::RawSse, &join).await?;
        let first = subscriber.next().await?;
        let is_gap = matches!(first, Heard::Gap { .. });
        assert_eq!(is_gap, channel == "short:a", "{first:?}");
    }
    let metrics = broker.metrics().await?;
    let gaps = "widecast_gaps_total{";
    assert_both(&metrics, gaps, [0, 1]);
    let found = metrics.sum(&[gaps, "engine=\"kept\"", "reason=\"resumed_too_late\""]);
    assert!(are([0.0, found], [0, 1]), "{found}");
    Ok(())
}

#[tokio::test]
async fn while_an_engine_refuses_everything_the_log_has_a_line_now_and_then_and_the_metrics_count()
-> Result<()> {
    // As much free space as no disk has.
    let full = Settings::new()
        .disk()
        .key("engine.default.free_bytes", "1125899906842624");
    let broker = Broker::with(full).await?;
    let began = Instant::now();
    for _ in 0..50 {
        let text = b"refused".to_vec();
        let refused = broker.post("/channels/news/messages", "text/plain", text);
        assert_eq!(refused.await?.status, 503);
    }
    let lines = broker.log().matches("the engine failed").count();
    let most = 1 + usize::try_from(began.elapsed().as_secs() / 10)?;
    assert!((1..=most).contains(&lines), "{lines}: {}", broker.log());
    let metrics = broker.metrics().await?;
    let code = "code=\"engine_unavailable\"";
    let refused = metrics.sum(&["widecast_engine_refusals_total{", code]);
    assert!((refused - 50.0).abs() < 0.5, "{refused}");
    let messages = metrics.sum(&["widecast_messages_refused_total{", code]);
    assert!((messages - 50.0).abs() < 0.5, "{messages}");
    Ok(())
}
