//! Each kind of abuse once, a little: memory stays below its bound, and the bystander loses nothing.

use anyhow::{Context, Result};
use widecast_abuse::kinds::kind;
use widecast_abuse::siege::besiege;

async fn short(name: &str) -> Result<()> {
    let kind = kind(name).context("no such kind")?;
    let outcome = besiege(kind, 1, 1).await?;
    // The test runner shows it when it is asked to.
    eprintln!("{outcome}");
    Ok(())
}

macro_rules! kinds {
    ($($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                short(stringify!($name)).await
            }
        )+

        #[test]
        fn every_kind_is_tried() {
            let tried = [$(stringify!($name)),+];
            let all = widecast_abuse::kinds::KINDS.iter().map(|kind| kind.name);
            assert!(all.eq(tried));
        }
    };
}

kinds! { cursors pipelines heads messages pings batches inflation readers sessions forms answers members }
