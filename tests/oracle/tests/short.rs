//! The oracle's short form: a handful of runs, the same ones each time and one that is new.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use widecast_oracle::campaign::campaign;
use widecast_oracle::plan::Scope;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_without_a_word() -> Result<()> {
    let scope = Scope {
        time: Duration::from_secs(5),
        without: Vec::new(),
    };
    let seeds = [1, 2, 3, 4, rand::random::<u32>().into()];
    let bad = campaign(seeds, &scope, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    ensure!(bad == 0, "{bad} of {} runs had violations", seeds.len());
    Ok(())
}
