//! One deadline for everything that somebody asks of an engine, however many questions it takes, one after the other.
//!
//! An engine in the network answers each question in time, or says that it cannot. Whoever asks several, as a command that joins a channel
//! and is listed there does, says so by [`with_patience`]: the later ones have only as long as the earlier ones have left. Only the time
//! counts in which an answer is waited for, not what else the work waits for, such as a hook or a client. Where each answer is progress, as
//! in a batch, [`renew`] begins the time anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::EngineError;

/// What is left of somebody's patience.
#[derive(Debug)]
struct Budget {
    patience: Duration,
    left: Duration,
    /// How many answers are waited for.
    asked: u32,
    /// Since when at least one of them is.
    since: Instant,
}

type SharedBudget = Arc<Mutex<Budget>>;

tokio::task_local! {
    static BUDGET: Option<SharedBudget>;
}

fn budget() -> Option<SharedBudget> {
    BUDGET.try_with(Option::clone).ok().flatten()
}

fn lock(budget: &SharedBudget) -> MutexGuard<'_, Budget> {
    // No code that can panic runs under the lock.
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that is waited for.
struct Waiting(SharedBudget);

impl Waiting {
    /// Begins to wait; gives until when.
    fn begin(budget: SharedBudget) -> (Self, Instant) {
        let mut begun = lock(&budget);
        if begun.asked == 0 {
            begun.since = Instant::now();
        }
        begun.asked += 1;
        let until = begun.since + begun.left;
        drop(begun);
        (Self(budget), until)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut budget = lock(&self.0);
        budget.asked -= 1;
        if budget.asked == 0 {
            budget.left = budget.left.saturating_sub(budget.since.elapsed());
        }
    }
}

/// Does work in which engines are asked, and waits for their answers no longer than this altogether; no longer than the work that it
/// is a part of may. Without patience, as of an engine that always answers, nothing more is bounded.
///
/// # Cancel safety
/// That of the work. It is never dropped at the deadline: each question that is under way fails by itself.
pub fn with_patience<F: Future>(
    patience: Option<Duration>,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    let own = || {
        patience.map(|patience| {
            Arc::new(Mutex::new(Budget {
                patience,
                left: patience,
                asked: 0,
                since: Instant::now(),
            }))
        })
    };
    BUDGET.scope(budget().or_else(own), work)
}

/// An engine has done a part of the work: the next part may take as long as all of it could.
pub fn renew() {
    // Outside of such work nothing is bounded.
    let Some(budget) = budget() else { return };
    let mut budget = lock(&budget);
    budget.left = budget.patience;
    budget.since = Instant::now();
}

/// The same work, for another task: what that waits for counts, too.
pub fn with_callers_patience<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    BUDGET.scope(budget(), work)
}

/// Waits for one answer of an engine that may take so long for it, but no longer than the deadline of the work that it is for.
///
/// # Errors
/// When there is no answer in time.
pub(super) async fn timeout<T>(
    patience: Duration,
    question: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let own = Instant::now() + patience;
    let Some((_waiting, until)) = budget().map(Waiting::begin) else {
        return tokio::time::timeout_at(own, question).await;
    };
    tokio::time::timeout_at(until.min(own), question).await
}

/// Waits for what somebody else has asked of an engine, but no longer than the deadline of the work that it is for.
///
/// # Errors
/// When there is no answer in time.
pub async fn until_deadline<T>(answer: impl Future<Output = T>) -> Result<T, EngineError> {
    match budget().map(Waiting::begin) {
        Some((_waiting, until)) => tokio::time::timeout_at(until, answer)
            .await
            .map_err(|_| EngineError::unavailable("the engine has not answered in time")),
        None => Ok(answer.await),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::future::join;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A question that is not answered.
    async fn ask() {
        let _ = timeout(SECOND, pending::<()>()).await;
    }

    /// A question that is answered after so long.
    async fn answered(after: Duration) {
        timeout(SECOND, sleep(after)).await.unwrap();
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
    async fn only_the_time_counts_in_which_an_answer_is_waited_for() {
        let work = with_patience(Some(SECOND), async {
            answered(SECOND / 4).await;
            sleep(10 * SECOND).await;
            ask().await;
        });
        assert_eq!(took(work).await, 11 * SECOND);
        // Two at a time count once.
        let work = with_patience(Some(SECOND), async {
            join(answered(SECOND / 4), answered(SECOND / 2)).await;
            ask().await;
        });
        assert_eq!(took(work).await, SECOND);
        // Who gives up waits no longer.
        let work = with_patience(Some(SECOND), async {
            let _ = tokio::time::timeout(SECOND / 2, ask()).await;
            sleep(SECOND).await;
            ask().await;
        });
        assert_eq!(took(work).await, 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_the_time_anew() {
        let work = with_patience(Some(SECOND), async {
            answered(SECOND / 2).await;
            renew();
            ask().await;
        });
        assert_eq!(took(work).await, SECOND * 3 / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn another_task_has_what_is_left() {
        let work = with_patience(Some(SECOND), async {
            answered(SECOND / 2).await;
            tokio::spawn(with_callers_patience(ask())).await.unwrap();
            ask().await;
        });
        assert_eq!(took(work).await, SECOND);
    }
}
