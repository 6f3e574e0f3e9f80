//! Waiting for conditions, never for time: every wait has a deadline and says what it waited for.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what must happen. Long, because the machine may be busy; nothing waits it out when all is well.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How often a condition that cannot be waited for is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Awaits the future, at most [`PATIENCE`].
///
/// # Errors
/// When the future fails or takes too long; the error says `what` was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(PATIENCE, future).await {
        Ok(result) => result.with_context(|| what.to_owned()),
        Err(_) => bail!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks again and again until the condition holds, at most [`PATIENCE`].
///
/// # Errors
/// When looking fails, or the condition does not come true in time; the error says `what` was waited for.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds().await.with_context(|| what.to_owned())? {
        if Instant::now() > end {
            bail!("{what}: not within {PATIENCE:?}");
        }
        sleep(GLANCE).await;
    }
    Ok(())
}
