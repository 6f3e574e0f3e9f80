//! One deadline for everything that somebody asks of an engine, however many questions it takes, one after the other.
//!
//! An engine in the network answers each question in time, or says that it cannot. Whoever asks several, as a command that joins a channel
//! and is listed there does, says so by [`with_patience`]: the later ones have only as long as the earlier ones have left. Where each
//! answer is progress, as in a batch, [`renew`] begins the time anew.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::EngineError;

/// What is left of somebody's patience.
#[derive(Debug, Clone, Copy)]
struct Limit {
    until: Instant,
    patience: Duration,
}

tokio::task_local! {
    static LIMIT: Cell<Option<Limit>>;
}

fn limit() -> Option<Limit> {
    LIMIT.try_with(Cell::get).ok().flatten()
}

/// Does work in which engines are asked, and waits for them no longer than this from now on altogether; no longer than the work that this
/// is a part of may. Without patience, as of an engine that always answers, nothing more is bounded.
///
/// # Cancel safety
/// That of the work. It is never dropped at the deadline: each question that is under way fails by itself.
pub fn with_patience<F: Future>(
    patience: Option<Duration>,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    let outer = limit();
    let own = patience.map(|patience| {
        let until = Instant::now() + patience;
        let until = outer.map_or(until, |outer| outer.until.min(until));
        Limit { until, patience }
    });
    LIMIT.scope(Cell::new(own.or(outer)), work)
}

/// An engine has done a part of the work: the next part may take as long as all of it could.
pub fn renew() {
    // Outside of such work nothing is bounded.
    let _ = LIMIT.try_with(|limit| {
        let renewed = limit.get().map(|Limit { patience, .. }| Limit {
            until: Instant::now() + patience,
            patience,
        });
        limit.set(renewed);
    });
}

/// The same work, for another task: it has the deadline of who calls this.
pub fn with_callers_patience<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    LIMIT.scope(Cell::new(limit()), work)
}

/// Waits for one answer of an engine that may take so long for it, but no longer than the deadline of the work that it is for.
///
/// # Errors
/// When there is no answer in time.
pub(super) async fn timeout<T>(
    patience: Duration,
    question: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let until = Instant::now() + patience;
    let until = limit().map_or(until, |limit| limit.until.min(until));
    tokio::time::timeout_at(until, question).await
}

/// Waits for what somebody else has asked of an engine, but no longer than the deadline of the work that it is for.
///
/// # Errors
/// When there is no answer in time.
pub async fn until_deadline<T>(answer: impl Future<Output = T>) -> Result<T, EngineError> {
    match limit() {
        Some(limit) => tokio::time::timeout_at(limit.until, answer)
            .await
            .map_err(|_| EngineError::unavailable("the engine has not answered in time")),
        None => Ok(answer.await),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A question that is not answered.
    async fn ask() {
        let _ = timeout(SECOND, pending::<()>()).await;
    }

    async fn took(work: impl Future<Output = ()>) -> Duration {
        let began = Instant::now();
        work.await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn all_questions_of_one_work_have_one_deadline() {
        let both = async {
            ask().await;
            ask().await;
        };
        assert_eq!(took(both).await, 2 * SECOND);
        let both = with_patience(Some(SECOND), async {
            ask().await;
            with_patience(Some(SECOND), ask()).await;
            let answer = until_deadline(pending::<()>()).await;
            assert!(answer.is_err());
        });
        assert_eq!(took(both).await, SECOND);
        let unbounded = with_patience(None, async {
            ask().await;
            assert!(until_deadline(ask()).await.is_ok());
        });
        assert_eq!(took(unbounded).await, 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_the_time_anew_and_another_task_has_what_is_left() {
        let work = with_patience(Some(SECOND), async {
            tokio::time::sleep(SECOND / 2).await;
            let other = tokio::spawn(with_callers_patience(ask()));
            renew();
            ask().await;
            other.await.unwrap();
        });
        assert_eq!(took(work).await, SECOND * 3 / 2);
        let other = with_patience(Some(SECOND), async {
            tokio::time::sleep(SECOND / 2).await;
            tokio::spawn(with_callers_patience(ask())).await.unwrap();
        });
        assert_eq!(took(other).await, SECOND);
    }
}
