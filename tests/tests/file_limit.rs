//! How many files the broker may have open: it takes as many as it may, and says so if they are too few.
#![cfg(target_os = "linux")]

use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use widecast_tests::{cli, within};

/// What a broker for 1000 connections warns of when it is started with such a soft and hard limit, and the limits that it has then.
async fn started(soft: u32, hard: u32) -> Result<(Vec<String>, String)> {
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let more = ["--set", "server.max_connections=1000"];
    let broker = cli::command(&[&arguments[..], &more].concat()).await?;
    let broker = broker.as_std();
    let line = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &line])
        .arg(broker.get_program())
        .args(broker.get_args())
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let errors = child.stderr.take().context("standard error is piped")?;
    let mut log = BufReader::new(errors).lines();
    let mut warnings = Vec::new();
    within("the greeting", async {
        loop {
            let line = log.next_line().await?.context("the log ended")?;
            if line.contains("WARN") {
                warnings.push(line);
            } else if line.contains("listening on") {
                return Ok(());
            }
        }
    })
    .await?;
    let id = child.id().context("it has ended")?;
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits"))?;
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files = files.context("no limit on open files")?.split_whitespace();
    let files: Vec<_> = files.skip(3).take(2).collect();
    Ok((warnings, files.join(" ")))
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() -> Result<()> {
    let (warnings, limits) = started(300, 2000).await?;
    assert_eq!(limits, "2000 2000");
    assert!(warnings.is_empty(), "{warnings:?}");
    Ok(())
}

#[tokio::test]
async fn too_few_files_are_warned_of_once() -> Result<()> {
    let (warnings, limits) = started(300, 400).await?;
    assert_eq!(limits, "400 400");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = &warnings[0];
    for named in [
        "400 files",
        "server.max_connections",
        "1256",
        "LimitNOFILE=",
    ] {
        assert!(warning.contains(named), "{warning}");
    }
    Ok(())
}
