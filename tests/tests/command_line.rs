//! `widecast publish`, `subscribe` and `config`, as a person uses them.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use widecast_tests::cli::{command, run, run_with_input};
use widecast_tests::{Broker, Join, Transport, eventually, within};

/// A running `widecast subscribe`, line by line.
struct Listening {
    // Killed when dropped.
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    async fn start(broker: &Broker, transport: &str, output: &str) -> Result<Self> {
        let base = broker.base();
        let arguments = [
            "subscribe",
            "news",
            "--transport",
            transport,
            "--output",
            output,
            "--url",
            &base,
        ];
        let mut child = command(&arguments).await?.spawn()?;
        let stdout = child.stdout.take().context("piped")?;
        let lines = BufReader::new(stdout).lines();
        let joined = async || Ok(broker.subscribers("news").await? > 0);
        eventually("the command has joined", joined).await?;
        Ok(Self {
            _child: child,
            lines,
        })
    }

    async fn line(&mut self) -> Result<String> {
        let next = async { self.lines.next_line().await?.context("the end") };
        within("a line", next).await
    }
}

#[tokio::test]
async fn subscribe_prints_messages_as_they_come_over_every_transport() -> Result<()> {
    let broker = Broker::start().await?;
    for transport in ["ws", "sse", "stream", "poll"] {
        let mut listening = Listening::start(&broker, transport, "data").await?;
        if transport == "poll" {
            // A poll that has answered once is where it begins; it shows as a subscriber while it waits.
            eventually("it polls", async || {
                Ok(broker.subscribers("news").await? > 0)
            })
            .await?;
        }
        for number in 0..3 {
            broker
                .publisher()
                .publish("news", json!({ "number": number }))
                .await?;
            let line = listening.line().await?;
            assert!(
                line.contains(&format!("\"number\":{number}")),
                "{transport}: {line}"
            );
        }
        drop(listening);
        eventually("it is gone", async || {
            Ok(broker.subscribers("news").await? == 0)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn subscribe_resumes_by_itself_when_the_broker_comes_back() -> Result<()> {
    let mut broker = Broker::start().await?;
    for transport in ["ws", "sse", "stream"] {
        let mut listening = Listening::start(&broker, transport, "data").await?;
        broker.restart().await?;
        eventually("it is back", async || {
            Ok(broker.subscribers("news").await? > 0)
        })
        .await?;
        broker.publisher().publish("news", "again").await?;
        while !listening.line().await?.contains("again") {}
        drop(listening);
        eventually("it is gone", async || {
            Ok(broker.subscribers("news").await? == 0)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn publish_takes_its_data_from_the_argument_or_from_standard_input() -> Result<()> {
    let broker = Broker::start().await?;
    let base = broker.base();
    let mut subscriber = broker
        .join(Transport::JsonWebSocket, &Join::channel("news"))
        .await?;
    let said = run(&["publish", "news", "{\"a\":1}", "--url", &base]).await?;
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(subscriber.message().await?.data, json!({ "a": 1 }));
    let said = run(&["publish", "news", "plain words", "--url", &base]).await?;
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(subscriber.message().await?.data, json!("plain words"));
    let said = run_with_input(&["publish", "news", "-", "--url", &base], b"from the pipe").await?;
    assert_eq!(said.status, 0, "{said:?}");
    let data = subscriber.message().await?.data;
    assert!(data.to_string().contains("from the pipe"), "{data}");
    Ok(())
}

#[tokio::test]
async fn publish_says_why_it_failed() -> Result<()> {
    let said = run(&["publish", "news", "1", "--url", "http://127.0.0.1:1"]).await?;
    assert_ne!(said.status, 0);
    assert!(said.errors.contains("127.0.0.1:1"), "{said:?}");
    let broker = Broker::start().await?;
    let said = run(&["publish", "a\nb", "1", "--url", &broker.base()]).await?;
    assert_ne!(said.status, 0);
    assert!(!said.errors.contains("panicked"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn config_show_lists_every_key_with_its_origin_and_check_finds_mistakes() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("widecast.toml");
    let path = file.to_str().context("a path")?;
    std::fs::write(&file, "[limits]\nmessage_bytes = 1000\n")?;
    let shown = run(&["config", "show", "--config", path]).await?;
    assert_eq!(shown.status, 0, "{shown:?}");
    let mut lines = shown.output.lines();
    assert!(
        lines.any(|line| line.contains("message_bytes") && line.contains("1000")),
        "{}",
        shown.output
    );
    assert!(shown.output.contains("interval_ms"), "{}", shown.output);
    let good = run(&["config", "check", "--config", path]).await?;
    assert_eq!(good.status, 0, "{good:?}");
    std::fs::write(&file, "[limit]\nmessage_bytes = 1000\n")?;
    let bad = run(&["config", "check", "--config", path]).await?;
    assert_eq!(bad.status, 2, "{bad:?}");
    assert!(bad.errors.contains("limits"), "{bad:?}");
    Ok(())
}

#[tokio::test]
async fn help_and_version_are_given() -> Result<()> {
    let help = run(&["--help"]).await?;
    for word in ["serve", "publish", "subscribe", "config"] {
        assert!(help.output.contains(word), "{}", help.output);
    }
    let version = run(&["--version"]).await?;
    assert_eq!((help.status, version.status), (0, 0));
    assert!(
        version.output.starts_with("widecast "),
        "{}",
        version.output
    );
    Ok(())
}

#[tokio::test]
async fn subscribe_prints_one_json_object_a_line_when_asked() -> Result<()> {
    let broker = Broker::start().await?;
    let mut listening = Listening::start(&broker, "ws", "json").await?;
    broker.publisher().publish("news", "text").await?;
    let line: Value = serde_json::from_str(&listening.line().await?)?;
    assert_eq!(line["data"], "text");
    Ok(())
}
