//! Work that takes too long for a worker thread: while a worker decodes a large value, nobody else on it is served.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Work on fewer bytes is done sooner than it is handed over. It takes 2 ms at most, for the values that take longest.
pub const LARGE_BYTES: usize = 64 << 10;

/// How much long work there may be at a time for each core: one is under way, the others wait.
const PER_CORE: usize = 4;

/// Where long work of all workers is done.
static THREADS: LazyLock<LongWork> =
    LazyLock::new(|| LongWork::for_cores(available_parallelism().map_or(1, NonZero::get)));

#[derive(Debug)]
struct LongWork {
    /// As many at a time as there are cores: more would take them from the workers.
    under_way: Semaphore,
    /// What waits holds its bytes.
    room: Semaphore,
}

impl LongWork {
    fn for_cores(cores: usize) -> Self {
        Self {
            under_way: Semaphore::new(cores),
            room: Semaphore::new(PER_CORE * cores),
        }
    }

    async fn offload<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes < LARGE_BYTES {
            return work();
        }
        // In a box: nearly all work is short, and the rest of this would be moved with whoever does it.
        Box::pin(self.offload_long(work)).await
    }

    async fn offload_long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let Ok(_room) = self.room.try_acquire() else {
            return work();
        };
        let _turn = self.under_way.acquire().await;
        match spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and whoever waits for this with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// Does work on so many bytes: at once if they are few, else on a thread for long work while the worker serves others. Long work of all
/// workers is done in the order in which it comes. While much of it waits, a worker does its own: it reads nothing more meanwhile, so
/// that what clients send faster than it can be done stays with them.
///
/// # Panics
/// When the work does.
pub async fn offload<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    THREADS.offload(bytes, work).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::current;

    #[actix_web::test]
    async fn only_work_on_many_bytes_leaves_the_worker_and_only_while_little_waits() {
        let threads = LongWork::for_cores(1);
        let done_by = |bytes| threads.offload(bytes, || current().id());
        let worker = current().id();
        assert_eq!(done_by(LARGE_BYTES - 1).await, worker);
        assert_ne!(done_by(LARGE_BYTES).await, worker);
        let waits = threads.room.acquire_many(3).await;
        assert_ne!(done_by(LARGE_BYTES).await, worker);
        let waits_too = threads.room.acquire().await;
        assert_eq!(done_by(LARGE_BYTES).await, worker);
        drop((waits, waits_too));
        assert_ne!(done_by(LARGE_BYTES).await, worker);
    }
}
