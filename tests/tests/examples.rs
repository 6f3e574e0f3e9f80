//! The programs in `examples/`, and those of the client library, run as somebody would who copies them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use widecast_tests::{Broker, eventually, program, within};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

/// A program of the client library.
async fn rust_example(name: &str) -> Result<Command> {
    Ok(Command::new(
        program::example("widecast-client", name).await?,
    ))
}

/// Publishes a value with an example, and gives the broker's answer.
async fn publish(broker: &Broker, name: &str, channel: &str, json: &str) -> Result<Value> {
    run(
        Command::new(example(name)),
        &broker.base(),
        &[channel, json],
    )
    .await
}

/// Runs a program to its end, and gives what it prints.
async fn run(mut command: Command, url: &str, arguments: &[&str]) -> Result<Value> {
    command.args(arguments).env("WIDECAST_URL", url);
    let what = format!("the end of {command:?}");
    let output = within(&what, async { Ok(command.output().await?) }).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{what}: {errors}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A running example that prints what it hears.
struct Listening {
    _child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    fn start(broker: &Broker, mut command: Command) -> Result<Self> {
        let command = command.env("WIDECAST_URL", broker.base());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("standard output is piped")?;
        Ok(Self {
            _child: child,
            output: BufReader::new(output).lines(),
        })
    }

    async fn line(&mut self) -> Result<String> {
        let line = within("a line of the example", async {
            Ok(self.output.next_line().await?)
        });
        line.await?.context("the output ended")
    }
}

async fn joined(broker: &Broker, channel: &str) -> Result<()> {
    eventually("the subscription", async || {
        Ok(broker.subscribers(channel).await? == 1)
    })
    .await
}

#[tokio::test]
async fn a_message_that_one_example_publishes_is_heard_by_another() -> Result<()> {
    let mut broker = Broker::start().await?;
    let mut python = Command::new(example("subscribe.py"));
    python.arg("news");
    let mut python = Listening::start(&broker, python)?;
    joined(&broker, "news").await?;
    let answer = publish(&broker, "publish.sh", "news", r#"{"hello":1}"#).await?;
    assert_eq!(answer["offset"], 1);
    let answer = publish(&broker, "publish.py", "news", r#""text""#).await?;
    assert_eq!(answer["offset"], 2);
    assert_eq!(python.line().await?, r#"{"hello":1}"#);
    assert_eq!(python.line().await?, "text");
    // It comes back by itself after a cut.
    broker.restart().await?;
    joined(&broker, "news").await?;
    publish(&broker, "publish.sh", "news", "3").await?;
    assert_eq!(python.line().await?, "3");
    Ok(())
}

#[tokio::test]
async fn several_channels_are_told_apart() -> Result<()> {
    let mut broker = Broker::start().await?;
    let mut node = Command::new("node");
    node.arg(example("subscribe.mjs")).args(["news", "sports"]);
    let mut node = Listening::start(&broker, node)?;
    for channel in ["news", "sports"] {
        joined(&broker, channel).await?;
    }
    publish(&broker, "publish.sh", "sports", r#"{"goal":1}"#).await?;
    assert_eq!(node.line().await?, r#"sports: {"goal":1}"#);
    broker.restart().await?;
    joined(&broker, "news").await?;
    publish(&broker, "publish.sh", "news", "2").await?;
    assert_eq!(node.line().await?, "news: 2");
    Ok(())
}

#[tokio::test]
async fn the_programs_of_the_rust_client_hear_each_other() -> Result<()> {
    let mut broker = Broker::start().await?;
    let url = broker.base();
    let mut subscribe = rust_example("subscribe").await?;
    subscribe.args(["news", "sports"]);
    let mut subscribe = Listening::start(&broker, subscribe)?;
    let mut room = rust_example("room").await?;
    room.args(["lobby", "Ann"]).stdin(Stdio::piped());
    let mut room = Listening::start(&broker, room)?;
    assert!(room.line().await?.starts_with("1 here"));
    for channel in ["news", "sports"] {
        joined(&broker, channel).await?;
    }
    let publish = rust_example("publish").await?;
    let answer = run(publish, &url, &["sports", r#"{"goal":1}"#]).await?;
    assert_eq!(answer["subscribers"], 1);
    assert_eq!(subscribe.line().await?, r#"sports: {"goal":1}"#);
    broker.restart().await?;
    for channel in ["news", "lobby"] {
        joined(&broker, channel).await?;
    }
    let publish = rust_example("publish").await?;
    run(publish, &url, &["news", "hello"]).await?;
    assert_eq!(subscribe.line().await?, r#"news: "hello""#);
    let publish = rust_example("publish").await?;
    run(publish, &url, &["lobby", r#"{"from":"Bob","text":"hi"}"#]).await?;
    while room.line().await? != "Bob: hi" {}
    Ok(())
}
