//! The oracle's short form: a handful of runs, the same ones each time and one that is new.

use std::time::Duration;

use anyhow::{Result, ensure};
use widecast_oracle::campaign::{Logs, campaign};
use widecast_oracle::scope::{EngineKind, Scope};

/// A seed that is new each time.
fn new() -> u64 {
    rand::random::<u32>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_without_a_word() -> Result<()> {
    judge(EngineKind::Memory, &[1, 2, 3, 4, new()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_in_restarts_with_messages_on_the_disk() -> Result<()> {
    judge(EngineKind::Disk, &[1, 2, new()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_several_brokers_whatever_their_redis_server_does() -> Result<()> {
    judge(EngineKind::Redis, &[1, 2, new()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_several_brokers_whatever_their_redis_servers_do() -> Result<()> {
    judge(EngineKind::Several, &[1, new()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_replicas_of_a_cluster_take_over_and_slots_move() -> Result<()> {
    judge(EngineKind::Cluster, &[1, new()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_replicas_take_over_because_sentinels_say_so() -> Result<()> {
    judge(EngineKind::Sentinel, &[new()]).await
}

async fn judge(engine: EngineKind, seeds: &[u64]) -> Result<()> {
    let scope = Scope {
        time: Duration::from_secs(5),
        without: Vec::new(),
        engine,
    };
    let logs = Logs {
        directory: env!("CARGO_TARGET_TMPDIR").into(),
        all: false,
    };
    let bad = campaign(seeds.iter().copied(), &scope, &logs).await?;
    ensure!(bad == 0, "{bad} of {} runs had violations", seeds.len());
    Ok(())
}
