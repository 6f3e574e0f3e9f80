//! The oracle's short form: a handful of runs, the same ones each time and one that is new.

use std::time::Duration;

use anyhow::{Result, ensure};
use widecast_oracle::campaign::{Logs, campaign};
use widecast_oracle::scope::Scope;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_without_a_word() -> Result<()> {
    let scope = Scope {
        time: Duration::from_secs(5),
        without: Vec::new(),
    };
    let seeds = [1, 2, 3, 4, rand::random::<u32>().into()];
    let logs = Logs {
        directory: env!("CARGO_TARGET_TMPDIR").into(),
        all: false,
    };
    let bad = campaign(seeds, &scope, &logs).await?;
    ensure!(bad == 0, "{bad} of {} runs had violations", seeds.len());
    Ok(())
}
