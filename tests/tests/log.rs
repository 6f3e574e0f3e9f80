//! What becomes of the broker when its log cannot be written: nothing. And what SIGHUP does to it: nothing either.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use widecast_tests::broker::Signal;
use widecast_tests::{Broker, cli, eventually, within};

/// A broker whose standard error is the test's.
struct Unheard {
    child: Child,
    address: SocketAddr,
}

impl Unheard {
    async fn start(arguments: &[&str], errors: Stdio) -> Result<Self> {
        // The log cannot tell the port: one is found that is free, and given back.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = cli::command(&["serve", "--listen", &address.to_string()]).await?;
        let child = command.args(arguments).stderr(errors).spawn()?;
        let broker = Self { child, address };
        eventually("the broker's start", async || {
            Ok(broker.health().await.is_ok())
        })
        .await?;
        Ok(broker)
    }

    async fn get(&self, path: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        Ok(stream)
    }

    async fn health(&self) -> Result<()> {
        let mut answer = String::new();
        self.get("/health/ready")
            .await?
            .read_to_string(&mut answer)
            .await?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    }

    /// Ends it as a service manager does; a subscriber is told goodbye, and the status is 0.
    async fn ends_well(mut self) -> Result<()> {
        within("a health check", self.health()).await?;
        let mut stream = self.get("/v1/stream?session=new").await?;
        let mut heard = vec![0; 4096];
        within("a welcome", async { Ok(stream.read(&mut heard).await?) }).await?;
        let id = self.child.id().context("the broker has ended")?;
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status()
            .await?;
        let mut rest = String::new();
        within("the goodbye", async {
            Ok(stream.read_to_string(&mut rest).await?)
        })
        .await?;
        assert!(rest.contains("goodbye"), "{rest}");
        drop(stream);
        let status = within("the end", async { Ok(self.child.wait().await?) }).await?;
        assert_eq!(status.code(), Some(0));
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_under_the_log_stops_nothing() -> Result<()> {
    for arguments in [
        &[][..],
        &["--log-format", "json"],
        &["--log-filter", "trace"],
    ] {
        let full = File::options().write(true).open("/dev/full")?;
        let broker = Unheard::start(arguments, full.into()).await?;
        broker.ends_well().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_of_the_log_that_has_gone_stops_nothing() -> Result<()> {
    for arguments in [&[][..], &["--log-filter", "trace"]] {
        let (reader, writer) = std::io::pipe()?;
        let broker = Unheard::start(arguments, OwnedFd::from(writer).into()).await?;
        drop(reader);
        broker.ends_well().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_of_the_log_that_reads_nothing_stops_nothing() -> Result<()> {
    // Far more lines than a pipe holds, and then than the broker keeps.
    let (reader, writer) = std::io::pipe()?;
    let arguments = ["--log-filter", "trace"];
    let broker = Unheard::start(&arguments, OwnedFd::from(writer).into()).await?;
    for _ in 0..300 {
        within("a health check", broker.health()).await?;
    }
    broker.ends_well().await?;
    drop(reader);
    Ok(())
}

#[tokio::test]
async fn the_last_lines_of_the_log_come() -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    let broker = Unheard::start(&[], OwnedFd::from(writer).into()).await?;
    broker.ends_well().await?;
    let reader = tokio::fs::File::from_std(File::from(OwnedFd::from(reader)));
    let mut lines = BufReader::new(reader).lines();
    let mut last = String::new();
    while let Some(line) = lines.next_line().await? {
        last = line;
    }
    assert!(last.ends_with("stopped"), "{last}");
    Ok(())
}

#[tokio::test]
async fn a_hangup_does_not_end_the_broker() -> Result<()> {
    let mut broker = Broker::start().await?;
    broker.signal(Signal::HangUp).await?;
    eventually("the word about it", async || {
        Ok(broker.log().contains("SIGHUP"))
    })
    .await?;
    broker.check_alive().await
}
