//! `widecast publish` and `widecast subscribe` against a real broker. Exit statuses of bad arguments are in
//! `broker/tests/cli.rs`.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use widecast_client::Client;
use widecast_tests::{Broker, Guarded, Relay, Settings, TlsProxy, cli, eventually, within};

/// Expands a scenario into one test for each transport of `widecast subscribe`.
macro_rules! over_every_transport {
    ($($scenario:ident;)+) => { $(
        mod $scenario {
            use super::*;

            #[tokio::test]
            async fn ws() -> Result<()> {
                super::$scenario("ws").await
            }

            #[tokio::test]
            async fn sse() -> Result<()> {
                super::$scenario("sse").await
            }

            #[tokio::test]
            async fn stream() -> Result<()> {
                super::$scenario("stream").await
            }

            #[tokio::test]
            async fn poll() -> Result<()> {
                super::$scenario("poll").await
            }
        }
    )+ };
}

over_every_transport! {
    messages_are_printed_as_they_come;
    json_output_tells_what_the_transport_tells;
    several_channels_are_listened_to_together;
    the_past_comes_first_and_nothing_twice;
    a_broker_behind_tls_is_followed;
    a_cut_loses_nothing_and_repeats_nothing;
    a_cut_before_the_first_message_loses_nothing;
    a_gap_is_told_and_the_reader_goes_on;
    a_broker_that_forgot_everything_is_a_gap;
    a_cursor_on_the_command_line_is_where_it_begins;
    a_refusal_for_good_ends_the_command;
    a_new_token_in_the_file_goes_on_without_loss;
    a_token_that_is_over_is_waited_for;
}

/// A running `widecast subscribe`.
struct Subscribing {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    notices: Lines<BufReader<ChildStderr>>,
}

impl Subscribing {
    /// Starts it with the words of one line.
    async fn start(base: &str, transport: &str, line: &str) -> Result<Self> {
        let mut arguments = vec!["subscribe", "--url", base, "--transport", transport];
        arguments.extend(line.split(' '));
        let mut child = cli::command(&arguments).await?.spawn()?;
        let output = child.stdout.take().context("standard output is piped")?;
        let notices = child.stderr.take().context("standard error is piped")?;
        Ok(Self {
            child,
            output: BufReader::new(output).lines(),
            notices: BufReader::new(notices).lines(),
        })
    }

    /// Starts it, and waits until the broker counts it in for the channel.
    async fn joined(broker: &Broker, base: &str, transport: &str, channel: &str) -> Result<Self> {
        let subscribing = Self::start(base, transport, channel).await?;
        eventually("the subscription", async || {
            Ok(broker.subscribers(channel).await? == 1)
        })
        .await?;
        Ok(subscribing)
    }

    async fn line(&mut self) -> Result<String> {
        let line = within("a line of output", async {
            Ok(self.output.next_line().await?)
        });
        line.await?.context("the output ended")
    }

    async fn lines(&mut self, count: usize) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.push(self.line().await?);
        }
        Ok(lines)
    }

    /// Reads notices until one has the text.
    async fn notice(&mut self, text: &str) -> Result<String> {
        within(&format!("a notice with {text:?}"), async {
            loop {
                let line = self.notices.next_line().await?;
                let line = line.context("the notices ended")?;
                if line.contains(text) {
                    return Ok(line);
                }
            }
        })
        .await
    }

    /// Waits until the broker counts it in for all channels, which it publishes `0` to until then; false if the command ends before.
    async fn hears(&mut self, backend: &Client, channels: &[&str]) -> Result<bool> {
        let mut has_ended = false;
        eventually("the subscription", async || {
            has_ended = self.child.try_wait()?.is_some();
            for channel in channels {
                if backend.publish(channel, &0).await?.subscribers != Some(1) {
                    return Ok(has_ended);
                }
            }
            Ok(true)
        })
        .await?;
        Ok(!has_ended)
    }

    async fn end(&mut self) -> Result<i32> {
        let status = within("the end of widecast subscribe", async {
            Ok(self.child.wait().await?)
        });
        status.await?.code().context("killed by a signal")
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().context("it has ended")?;
        let line = format!("kill -{name} {id}");
        let status = Command::new("sh").args(["-c", &line]).status().await?;
        anyhow::ensure!(status.success(), "{line}: {status}");
        Ok(())
    }
}

/// The defaults, but event streams do not wait seconds before they come back.
fn impatient() -> Settings {
    Settings::new().key("shutdown.retry_ms", "50")
}

/// Publishes with the words of one line, and gives the broker's answer.
async fn publish(broker: &Broker, line: &str) -> Result<Value> {
    let base = broker.base();
    let mut arguments = vec!["publish", "--url", &base];
    arguments.extend(line.split(' '));
    let run = cli::run(&arguments).await?;
    anyhow::ensure!(run.status == 0, "{line}: {}", run.errors);
    Ok(serde_json::from_str(&run.output)?)
}

async fn messages_are_printed_as_they_come(transport: &str) -> Result<()> {
    let broker = Broker::start().await?;
    let mut reader = Subscribing::joined(&broker, &broker.base(), transport, "news").await?;
    let answer = publish(&broker, "news hello").await?;
    assert_eq!(answer["subscribers"], 1);
    assert_eq!(reader.line().await?, "hello");
    publish(&broker, r#"news {"a":[1,2]} --event changed"#).await?;
    assert_eq!(reader.line().await?, r#"{"a":[1,2]}"#);
    publish(&broker, "news two\nlines").await?;
    assert_eq!(reader.lines(2).await?, ["two", "lines"]);
    publish(&broker, "news bytes --binary").await?;
    let expected = r#"{"$type":"binary","value":"Ynl0ZXM="}"#;
    assert_eq!(reader.line().await?, expected);
    Ok(())
}

async fn json_output_tells_what_the_transport_tells(transport: &str) -> Result<()> {
    let broker = Broker::start().await?;
    let line = "news --output json --count 1";
    let mut reader = Subscribing::start(&broker.base(), transport, line).await?;
    eventually("the subscription", async || {
        Ok(broker.subscribers("news").await? == 1)
    })
    .await?;
    let answer = publish(&broker, r#"news {"a":1} --event changed"#).await?;
    let told: Value = serde_json::from_str(&reader.line().await?)?;
    let place = answer["epoch"].as_str().context("no epoch")?;
    assert_eq!(told["cursor"], format!("{place}-1"));
    assert_eq!(told["event"], "changed");
    assert_eq!(told["data"], json!({"a": 1}));
    assert_eq!(told["channel"], "news");
    if transport != "sse" {
        assert_eq!(told["offset"], 1);
        assert!(told["timestamp"].is_u64());
    }
    assert_eq!(reader.end().await?, 0);
    Ok(())
}

async fn several_channels_are_listened_to_together(transport: &str) -> Result<()> {
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let mut reader = Subscribing::start(&relay.base(), transport, "a b").await?;
    for channel in ["a", "b"] {
        eventually("the subscription", async || {
            Ok(broker.subscribers(channel).await? == 1)
        })
        .await?;
    }
    publish(&broker, "a 1").await?;
    assert_eq!(reader.line().await?, "a\t1");
    relay.cut();
    publish(&broker, "a 2").await?;
    publish(&broker, "b 3").await?;
    relay.mend();
    let mut lines = reader.lines(2).await?;
    lines.sort();
    assert_eq!(lines, ["a\t2", "b\t3"]);
    publish(&broker, "b two\nlines").await?;
    assert_eq!(reader.lines(2).await?, ["b\ttwo", "b\tlines"]);
    Ok(())
}

async fn the_past_comes_first_and_nothing_twice(transport: &str) -> Result<()> {
    let broker = Broker::start().await?;
    for number in 1..=5 {
        publish(&broker, &format!("a {number}")).await?;
    }
    publish(&broker, "b 6").await?;
    let line = "a b never-used --history 3";
    let mut reader = Subscribing::start(&broker.base(), transport, line).await?;
    let past = ["a\t3", "a\t4", "a\t5", "b\t6"];
    assert_eq!(reader.lines(4).await?, past);
    // Published right away: it is heard, whether the connection stands by now or not.
    publish(&broker, "b 7").await?;
    assert_eq!(reader.line().await?, "b\t7");
    eventually("the subscription", async || {
        Ok(broker.subscribers("never-used").await? == 1)
    })
    .await?;
    publish(&broker, "never-used 8").await?;
    assert_eq!(reader.line().await?, "never-used\t8");

    let line = "a --history 4 --count 2 --output json";
    let mut reader = Subscribing::start(&broker.base(), transport, line).await?;
    for expected in [2, 3] {
        let told: Value = serde_json::from_str(&reader.line().await?)?;
        assert_eq!(told["offset"], expected);
        assert_eq!(told["channel"], "a");
    }
    assert_eq!(reader.end().await?, 0);
    Ok(())
}

async fn a_broker_behind_tls_is_followed(transport: &str) -> Result<()> {
    let broker = Broker::start().await?;
    let proxy = TlsProxy::to(broker.socket_address()).await?;
    let authority = proxy.authority();
    publish(&broker, "news 1").await?;
    for scheme in ["https", "wss"] {
        let url = format!("{scheme}://localhost:{}", proxy.port());
        let line = format!("news --history 1 --count 2 --ca {authority}");
        let mut reader = Subscribing::start(&url, transport, &line).await?;
        assert_eq!(reader.line().await?, "1");
        let arguments = ["publish", "--url", &url, "--ca", &authority, "news", "1"];
        let run = cli::run(&arguments).await?;
        assert_eq!(run.status, 0, "{}", run.errors);
        assert_eq!(reader.line().await?, "1");
        assert_eq!(reader.end().await?, 0);
    }
    // By its address, too, and not without the authority.
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let mut reader = Subscribing::start(&url, transport, "news").await?;
    let notice = reader.notice("error: ").await?;
    assert!(
        notice.contains("is not trusted") && notice.contains("--ca"),
        "{notice}"
    );
    assert_eq!(reader.end().await?, 1);
    Ok(())
}

#[tokio::test]
async fn the_environment_can_name_the_authorities() -> Result<()> {
    let broker = Broker::start().await?;
    let proxy = TlsProxy::to(broker.socket_address()).await?;
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let arguments = ["publish", "--url", &url, "news", "1"];
    for (variable, status) in [("SSL_CERT_FILE", Some(0)), ("UNRELATED", Some(1))] {
        let mut command = cli::command(&arguments).await?;
        let child = command.env(variable, proxy.authority()).spawn()?;
        let output = child.wait_with_output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), status, "{variable}: {errors}");
    }
    Ok(())
}

async fn a_cut_loses_nothing_and_repeats_nothing(transport: &str) -> Result<()> {
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let mut reader = Subscribing::joined(&broker, &relay.base(), transport, "news").await?;
    publish(&broker, "news 1").await?;
    assert_eq!(reader.line().await?, "1");
    for round in [2, 5] {
        relay.cut();
        reader.notice("connection lost").await?;
        publish(&broker, &format!("news {round}")).await?;
        publish(&broker, &format!("news {}", round + 1)).await?;
        relay.mend();
        reader.notice("connected again").await?;
        publish(&broker, &format!("news {}", round + 2)).await?;
        let expected = [round, round + 1, round + 2].map(|number| number.to_string());
        assert_eq!(reader.lines(3).await?, expected);
    }
    Ok(())
}

async fn a_cut_before_the_first_message_loses_nothing(transport: &str) -> Result<()> {
    let broker = Broker::with(impatient()).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    publish(&broker, "news past").await?;
    let line = "news --history 1";
    let mut reader = Subscribing::start(&relay.base(), transport, line).await?;
    // The past is printed once the connection stands.
    assert_eq!(reader.line().await?, "past");
    relay.cut();
    reader.notice("connection lost").await?;
    publish(&broker, "news 1").await?;
    relay.mend();
    assert_eq!(reader.line().await?, "1");
    Ok(())
}

async fn a_gap_is_told_and_the_reader_goes_on(transport: &str) -> Result<()> {
    let broker = Broker::with(impatient().history("default", 1, 2 << 20)).await?;
    let relay = Relay::to(broker.socket_address()).await?;
    let mut reader = Subscribing::joined(&broker, &relay.base(), transport, "news").await?;
    publish(&broker, "news 1").await?;
    assert_eq!(reader.line().await?, "1");
    relay.cut();
    reader.notice("connection lost").await?;
    publish(&broker, "news 2").await?;
    publish(&broker, "news 3").await?;
    relay.mend();
    reader.notice("gap: messages").await?;
    publish(&broker, "news 4").await?;
    assert_eq!(reader.line().await?, "4");
    Ok(())
}

async fn a_broker_that_forgot_everything_is_a_gap(transport: &str) -> Result<()> {
    let mut broker = Broker::with(impatient()).await?;
    let mut reader = Subscribing::joined(&broker, &broker.base(), transport, "news").await?;
    publish(&broker, "news 1").await?;
    assert_eq!(reader.line().await?, "1");
    broker.restart().await?;
    reader.notice("gap: messages").await?;
    eventually("the subscription", async || {
        Ok(broker.subscribers("news").await? == 1)
    })
    .await?;
    publish(&broker, "news 2").await?;
    assert_eq!(reader.line().await?, "2");
    Ok(())
}

async fn a_cursor_on_the_command_line_is_where_it_begins(transport: &str) -> Result<()> {
    let broker = Broker::start().await?;
    let publisher = broker.publisher();
    let first = publisher.publish("news", "1").await?;
    publisher.publish("news", "2").await?;
    publisher.publish("news", "3").await?;
    let line = format!("news --count 2 --cursor {}", first.cursor());
    let mut reader = Subscribing::start(&broker.base(), transport, &line).await?;
    assert_eq!(reader.lines(2).await?, ["2", "3"]);
    assert_eq!(reader.end().await?, 0);
    Ok(())
}

async fn a_refusal_for_good_ends_the_command(transport: &str) -> Result<()> {
    let settings = Settings::new().key("namespace.secret.subscribe", "false");
    let broker = Broker::with(settings).await?;
    let mut reader = Subscribing::start(&broker.base(), transport, "secret:news").await?;
    reader.notice("error: the broker refuses: ").await?;
    assert_eq!(reader.end().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_subscribe_without_an_error() -> Result<()> {
    let broker = Broker::start().await?;
    for signal in ["INT", "TERM"] {
        let mut reader = Subscribing::joined(&broker, &broker.base(), "ws", signal).await?;
        reader.signal(signal).await?;
        assert_eq!(reader.end().await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_of_the_output_that_has_gone_is_no_error() -> Result<()> {
    let broker = Broker::start().await?;
    let reader = Subscribing::joined(&broker, &broker.base(), "ws", "news").await?;
    let Subscribing {
        mut child,
        output,
        mut notices,
    } = reader;
    drop(output);
    publish(&broker, "news 1").await?;
    let ended = within("the end of widecast subscribe", async {
        Ok(child.wait().await?)
    });
    assert_eq!(ended.await?.code(), Some(0));
    assert_eq!(notices.next_line().await?, None);
    Ok(())
}

#[tokio::test]
async fn publish_reads_standard_input_and_repeats_safely() -> Result<()> {
    let broker = Broker::start().await?;
    let base = broker.base();
    let arguments = [
        "publish",
        "--url",
        &base,
        "--idempotency-key",
        "k1",
        "news",
        "-",
    ];
    for duplicate in [false, true] {
        let run = cli::run_with_input(&arguments, b"from input").await?;
        let answer: Value = serde_json::from_str(&run.output)?;
        assert_eq!(answer["duplicate"], duplicate);
        assert_eq!(answer["offset"], 1);
    }
    let page = broker.get(&["channels", "news", "messages"], &[]).await?;
    assert_eq!(page["messages"][0]["data"], "from input");
    Ok(())
}

#[tokio::test]
async fn publish_says_why_the_broker_refuses() -> Result<()> {
    let broker = Broker::with(Settings::new().message_bytes(3)).await?;
    let run = cli::run(&["publish", "--url", &broker.base(), "news", "hello"]).await?;
    assert_eq!(run.status, 1);
    assert_eq!(run.output, "");
    let expected = "error: the broker refuses: ";
    assert!(run.errors.starts_with(expected), "{}", run.errors);
    assert!(run.errors.contains("too_large"), "{}", run.errors);
    Ok(())
}

/// A broker that takes tokens, a client that may publish there, and a file for tokens.
struct WithTokenFile {
    guarded: Guarded,
    backend: Client,
    directory: TempDir,
    made: Cell<u32>,
}

impl WithTokenFile {
    async fn start() -> Result<Self> {
        let guarded = Guarded::with(|settings| settings.key("shutdown.retry_ms", "50")).await?;
        let backend = Client::builder(&guarded.broker.base()).token(&guarded.backend);
        Ok(Self {
            backend: backend.build()?,
            guarded,
            directory: tempfile::tempdir()?,
            made: Cell::new(0),
        })
    }

    fn path(&self) -> Result<String> {
        let path = self.directory.path().join("token");
        Ok(path.to_str().context("a path of text")?.to_owned())
    }

    /// Puts a new token into the file that is valid for so many seconds.
    async fn renew(&self, seconds: u32) -> Result<String> {
        let allow = ["a=subscribe,publish", "b=subscribe"];
        // Two that were made in the same second would be one without it.
        self.made.set(self.made.get() + 1);
        let name = self.made.get().to_string();
        let claims = ["--sub", "7", "--jti", &name];
        let token = self.guarded.token_with(&claims, &allow, seconds).await?;
        std::fs::write(self.path()?, format!("{token}\n"))?;
        Ok(token)
    }

    /// Listens with a token that ends soon. On a busy machine the first ones may have ended before.
    async fn listen(&self, transport: &str, channels: &[&str]) -> Result<(Subscribing, String)> {
        let line = format!("--token-file {} {}", self.path()?, channels.join(" "));
        for seconds in [2, 4, 8, 16] {
            let token = self.renew(seconds).await?;
            let base = self.guarded.broker.base();
            let mut reader = Subscribing::start(&base, transport, &line).await?;
            if reader.hears(&self.backend, channels).await? {
                return Ok((reader, token));
            }
        }
        anyhow::bail!("no token was valid for long enough to join");
    }
}

async fn a_new_token_in_the_file_goes_on_without_loss(transport: &str) -> Result<()> {
    let with = WithTokenFile::start().await?;
    let (mut reader, _) = with.listen(transport, &["a"]).await?;
    let is_over = AtomicBool::new(false);
    let publishing = async {
        let mut last = 0;
        while !is_over.load(Ordering::Relaxed) {
            last += 1;
            with.backend.publish("a", &last).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(last)
    };
    // Whenever a token ends, the file has another.
    let renewing = async {
        loop {
            with.renew(4).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let going_on = async {
        let told = async {
            for _ in 0..3 {
                reader.notice("going on with the new token in ").await?;
            }
            Ok(())
        };
        let told = tokio::select! {
            told = told => told,
            failed = renewing => failed,
        };
        is_over.store(true, Ordering::Relaxed);
        told
    };
    let (last, ()): (u32, ()) = tokio::try_join!(publishing, going_on)?;
    with.renew(600).await?;
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        heard.push(reader.line().await?.parse()?);
    }
    heard.retain(|&number| number > 0);
    let expected: Vec<u32> = (1..=last).collect();
    assert_eq!(heard, expected);
    Ok(())
}

async fn a_token_that_is_over_is_waited_for(transport: &str) -> Result<()> {
    let with = WithTokenFile::start().await?;
    let (mut reader, token) = with.listen(transport, &["a", "b"]).await?;
    let mut notices = vec![reader.notice("put a valid token into ").await?];
    assert!(notices[0].contains("expired"), "{notices:?}");
    for (channel, number) in [("a", 1), ("b", 2), ("a", 3)] {
        with.backend.publish(channel, &number).await?;
    }
    // A file that is being replaced.
    for held in [Some(""), Some("half"), None] {
        match held {
            Some(held) => std::fs::write(with.path()?, held)?,
            None => std::fs::remove_file(with.path()?)?,
        }
        notices.push(reader.notice("put a valid token into ").await?);
    }
    let reasons = [
        "expired",
        "it is empty",
        "no JSON Web Token",
        "No such file",
    ];
    for (notice, reason) in notices.iter().zip(reasons) {
        assert!(notice.contains(reason), "{notice}");
        assert!(
            !notice.contains(&token) && !notice.contains("half"),
            "{notice}"
        );
    }
    with.renew(600).await?;
    reader.notice("going on with the new token in ").await?;
    with.backend.publish("b", &4).await?;
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("b\t4") {
        heard.push(reader.line().await?);
    }
    heard.retain(|line| !line.ends_with("\t0"));
    heard.sort();
    assert_eq!(heard, ["a\t1", "a\t3", "b\t2", "b\t4"]);
    Ok(())
}

#[tokio::test]
async fn a_new_token_that_cannot_be_shown_at_first_is_tried_again() -> Result<()> {
    let with = WithTokenFile::start().await?;
    let relay = Relay::to(with.guarded.broker.socket_address()).await?;
    // The broker asks for a new token a minute before the end, and so at once.
    with.renew(58).await?;
    let line = format!("--token-file {} a", with.path()?);
    let mut reader = Subscribing::start(&relay.base(), "ws", &line).await?;
    assert!(reader.hears(&with.backend, &["a"]).await?);
    relay.refuse_new(true);
    with.renew(600).await?;
    eventually("an attempt that fails", async || Ok(relay.refused() > 0)).await?;
    relay.refuse_new(false);
    reader.notice("going on with the new token in ").await?;
    with.backend.publish("a", &1).await?;
    while reader.line().await? != "1" {}
    Ok(())
}

#[tokio::test]
async fn a_token_file_that_is_refused_at_first_is_named() -> Result<()> {
    let with = WithTokenFile::start().await?;
    let (base, path) = (with.guarded.broker.base(), with.path()?);
    let token = with.renew(0).await?;
    for command in [&["subscribe", "a"][..], &["publish", "a", "1"], &["nodes"]] {
        let arguments = [command, &["--url", &base, "--token-file", &path]].concat();
        let run = cli::run(&arguments).await?;
        assert_eq!(run.status, 1);
        let expected = format!("put a valid token or API key into {path}\n");
        assert!(run.errors.ends_with(&expected), "{}", run.errors);
        assert!(!run.errors.contains(&token), "{}", run.errors);
    }
    Ok(())
}

#[tokio::test]
async fn the_command_line_wins_over_the_environment() -> Result<()> {
    let with = WithTokenFile::start().await?;
    let (base, path) = (with.guarded.broker.base(), with.path()?);
    std::fs::write(&path, &with.guarded.backend)?;
    let arguments = ["publish", "--url", &base, "a", "1"];
    let good = &*with.guarded.backend;
    for (flag, variables) in [
        (["--token-file", &path], &[("WIDECAST_TOKEN", "x")][..]),
        (["--token-file", &path], &[("WIDECAST_TOKEN", "")]),
        (["--token", good], &[("WIDECAST_TOKEN_FILE", "/nowhere")]),
        (
            ["--token", good],
            &[("WIDECAST_TOKEN_FILE", ""), ("WIDECAST_TOKEN", "x")],
        ),
    ] {
        let mut command = cli::command(&[&arguments[..], &flag].concat()).await?;
        let command = command.envs(variables.iter().copied());
        let output = command.spawn()?.wait_with_output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{flag:?} {variables:?}: {errors}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_token_is_from_a_file_or_from_elsewhere() -> Result<()> {
    let with = WithTokenFile::start().await?;
    let (base, path) = (with.guarded.broker.base(), with.path()?);
    std::fs::write(&path, &with.guarded.backend)?;
    let arguments = ["publish", "--url", &base, "a", "1"];
    for (more, status) in [(None, 0), (Some(("WIDECAST_TOKEN", "x")), 2)] {
        let mut command = cli::command(&arguments).await?;
        let command = command.env("WIDECAST_TOKEN_FILE", &path).envs(more);
        let output = command.spawn()?.wait_with_output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{errors}");
        assert_eq!(errors.contains("give one of them only"), status == 2);
    }
    Ok(())
}

/// Answers one request, once it has come, with this status and body, and gives its head.
async fn answer_one(
    listener: &TcpListener,
    answer: impl FnOnce() -> Result<(&'static str, &'static str)>,
) -> Result<String> {
    let (socket, _) = listener.accept().await?;
    let mut socket = BufReader::new(socket);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        anyhow::ensure!(socket.read_line(&mut head).await? > 0, "no whole head");
        if let Some(said) = head[start..].strip_prefix("content-length: ") {
            length = said.trim().parse()?;
        }
    }
    socket.read_exact(&mut vec![0; length]).await?;
    let (status, body) = answer()?;
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    socket.write_all(answer.as_bytes()).await?;
    Ok(head)
}

#[tokio::test]
async fn publish_reads_the_token_again_when_it_is_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("token");
    std::fs::write(&path, "old")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let file = path.to_str().context("a path of text")?;
    let arguments = ["publish", "--url", &base, "--token-file", file, "a", "1"];
    let refusal = r#"{"title":"T","detail":"d","code":"unauthorized"}"#;
    let published = r#"{"channel":"a","offset":1,"epoch":"e","duplicate":false}"#;
    let answering = async {
        let refuse = || {
            // The token has been read by now.
            std::fs::write(&path, "newer")?;
            Ok(("401 Unauthorized", refusal))
        };
        let first = answer_one(&listener, refuse).await?;
        let second = answer_one(&listener, || Ok(("200 OK", published))).await?;
        Ok([first, second])
    };
    let asking = cli::run(&arguments);
    let (run, heads) = tokio::try_join!(asking, within("two requests", answering))?;
    assert_eq!(run.status, 0, "{}", run.errors);
    assert!(
        heads[0].contains("authorization: Bearer old\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[1].contains("authorization: Bearer newer\r\n"),
        "{heads:?}"
    );
    Ok(())
}
