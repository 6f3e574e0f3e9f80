//! A broker whose messages are on the disk: whoever subscribes does not notice that it was killed and started again.

use anyhow::{Context, Result};
use serde_json::json;
use widecast_tests::cli::run;
use widecast_tests::{Broker, Heard, Join, Settings, Transport};

async fn broker() -> Result<Broker> {
    Broker::with(Settings::new().disk()).await
}

#[tokio::test]
async fn every_transport_resumes_without_a_gap_after_the_broker_was_killed() -> Result<()> {
    let mut broker = broker().await?;
    let start = broker.end_of("news").await?;
    broker.publisher().publish("news", "before").await?;
    broker.restart().await?;
    broker.publisher().publish("news", "after").await?;
    for transport in Transport::ALL {
        if transport.loads_scripts() {
            continue;
        }
        let join = Join::channel("news").from(start.clone());
        let mut subscriber = broker.join(transport, &join).await?;
        let data = subscriber.data(2).await.context(format!("{transport:?}"))?;
        assert_eq!(data, [json!("before"), json!("after")], "{transport:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_acknowledged_is_there_in_one_order_however_often_the_broker_is_killed()
-> Result<()> {
    let mut broker = broker().await?;
    let start = broker.end_of("news").await?;
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        // The last ones are under way when the broker is killed.
        let mut under_way = Vec::new();
        for number in 0..40 {
            let (publisher, data) = (broker.publisher(), format!("{round}-{number}"));
            under_way.push(tokio::spawn(async move {
                let answer = publisher.publish("news", data.clone()).await.ok()?;
                Some((answer.offset, data))
            }));
        }
        let mut answers = Vec::new();
        for (number, publication) in under_way.into_iter().enumerate() {
            answers.push(publication.await?);
            if number == 20 {
                broker.restart().await?;
            }
        }
        assert!(answers[..20].iter().all(Option::is_some), "{answers:?}");
        acknowledged.extend(answers.into_iter().flatten());
    }
    let messages = broker
        .get(
            &["channels", "news", "messages"],
            &[("since", &start), ("limit", "256")],
        )
        .await?;
    let messages = messages["messages"].as_array().context("messages")?.clone();
    let offsets: Vec<_> = messages.iter().map(|one| one["offset"].as_u64()).collect();
    let expected: Vec<_> = (1..=messages.len() as u64).map(Some).collect();
    assert_eq!(offsets, expected, "offsets have no holes");
    for (offset, data) in acknowledged {
        let message = &messages[usize::try_from(offset)? - 1];
        assert_eq!(message["data"], json!(data), "at {offset}");
    }
    Ok(())
}

#[tokio::test]
async fn a_repeated_publication_is_known_after_a_restart() -> Result<()> {
    let mut broker = broker().await?;
    let send = async |broker: &Broker| -> Result<serde_json::Value> {
        let request = broker
            .http()
            .post(format!("{}/channels/news/messages", broker.base()));
        let request = request.header("idempotency-key", "order-1").body("paid");
        let answer = request.header("content-type", "text/plain").send().await?;
        Ok(answer.json().await?)
    };
    let first = send(&broker).await?;
    broker.restart().await?;
    let second = send(&broker).await?;
    assert_eq!(second["duplicate"], true, "{second}");
    assert_eq!(second["offset"], first["offset"]);
    assert_eq!(second["epoch"], first["epoch"]);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_refuses_publications_and_nothing_else() -> Result<()> {
    let mut broker = broker().await?;
    let start = broker.end_of("news").await?;
    broker.publisher().publish("news", "kept").await?;
    // As much as no disk has.
    let full = Settings::new()
        .disk()
        .key("engine.default.free_bytes", "1125899906842624");
    broker.reconfigure(&full)?;
    broker.restart().await?;
    let mut subscriber = broker
        .join(Transport::JsonWebSocket, &Join::channel("news").from(start))
        .await?;
    assert_eq!(subscriber.data(1).await?, [json!("kept")]);
    let refused = broker
        .post("/channels/news/messages", "text/plain", b"refused".to_vec())
        .await?;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.body["code"], "engine_unavailable", "{refused:?}");
    assert_eq!(refused.body["retryable"], true);
    let ready = broker
        .http()
        .get(format!("{}/health/ready", broker.base()))
        .send()
        .await?;
    assert_eq!(ready.status().as_u16(), 503);
    Ok(())
}

#[tokio::test]
async fn a_second_broker_on_the_same_files_says_so_and_ends() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("data");
    let path = path.to_str().context("UTF-8")?;
    let settings = Settings::new()
        .key("engine.default.kind", "\"disk\"")
        .key("engine.default.path", format!("\"{path}\""));
    let first = Broker::with(settings).await?;
    // What the first one writes is not looked at: whoever reads this journal finds that it is a directory.
    std::fs::create_dir(directory.path().join("data").join("99.jnl"))?;
    let path = format!("engine.default.path={path}");
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--set",
        "engine.default.kind=disk",
        "--set",
        &path,
    ];
    let second = run(&arguments).await?;
    assert_ne!(second.status, 0, "{second:?}");
    let reason = "another process uses";
    assert_eq!(second.errors.matches(reason).count(), 1, "{second:?}");
    first
        .publisher()
        .publish("news", "the first goes on")
        .await?;
    Ok(())
}

#[tokio::test]
async fn one_namespace_on_the_disk_and_one_in_memory_behave_as_each_is_promised() -> Result<()> {
    let settings = Settings::new()
        .key("engine.kept.kind", "\"disk\"")
        .key("engine.kept.path", "\"{directory}/kept\"")
        .key("namespace.orders.engine", "\"kept\"");
    let mut broker = Broker::with(settings).await?;
    for channel in ["orders:1", "chat"] {
        broker.publisher().publish(channel, "x").await?;
    }
    let (orders, chat) = (
        broker.end_of("orders:1").await?,
        broker.end_of("chat").await?,
    );
    broker.restart().await?;
    assert_eq!(broker.end_of("orders:1").await?, orders);
    assert_ne!(broker.end_of("chat").await?, chat);
    let join = Join::channel("chat").from(chat);
    let mut subscriber = broker.join(Transport::RawSse, &join).await?;
    let heard = subscriber.next().await?;
    assert!(matches!(heard, Heard::Gap { .. }), "{heard:?}");
    Ok(())
}

#[tokio::test]
async fn journals_that_come_and_go_keep_no_broker_from_starting_whenever_the_last_one_was_killed()
-> Result<()> {
    let mut broker = broker().await?;
    // Together they fill several journals of 64 MB.
    let message = vec![0x55; 1_000_000];
    for messages in [70, 45, 80] {
        let mut acknowledged = 0;
        for _ in 0..messages {
            let post = broker.post("/channels/news/messages", "image/png", message.clone());
            let answer = post.await?;
            assert_eq!(answer.status, 200, "{answer:?}");
            acknowledged = answer.body["offset"].as_u64().context("an offset")?;
        }
        // The store has yet to write what it has sorted, and to remove journals.
        broker.restart().await?;
        let end = broker.end_of("news").await?;
        let (_, offset) = end.rsplit_once('-').context("a cursor")?;
        assert_eq!(offset.parse::<u64>()?, acknowledged);
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_whose_journal_is_missing_names_it_and_does_not_start() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("data");
    let settings = Settings::new()
        .key("engine.default.kind", "\"disk\"")
        .key("engine.default.path", format!("{path:?}"));
    let mut broker = Broker::with(settings).await?;
    broker.publisher().publish("news", "kept").await?;
    broker.kill().await?;
    std::fs::remove_file(path.join("0.jnl"))?;
    std::fs::remove_file(path.join("journals").join("0.jnl"))?;
    let path_setting = format!("engine.default.path={}", path.display());
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--set"];
    let set = ["engine.default.kind=disk", "--set", &path_setting];
    let ended = run(&[&arguments[..], &set].concat()).await?;
    assert_ne!(ended.status, 0, "{ended:?}");
    let journal = path.join("0.jnl");
    let reason = format!("the file {} is missing", journal.display());
    assert_eq!(ended.errors.matches(&reason).count(), 1, "{ended:?}");
    Ok(())
}
