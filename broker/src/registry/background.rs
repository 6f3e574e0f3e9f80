//! What a thread does for the engine without waiting for it.

use std::pin::pin;
use std::task::{Context, Waker};

use tokio::runtime::Handle;

/// Runs what is almost always ready at once; the rest of it goes on in the background. On a thread whose runtime has ended nothing is
/// done: the broker ends, and the engine is closed.
pub(super) fn run_in_background(future: impl Future<Output = ()> + Send + 'static) {
    if Handle::try_current().is_err() {
        return;
    }
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    if pin!(&mut future).poll(&mut context).is_pending() {
        // Without an arbiter the thread is ending, and with it the engine's connections.
        if let Some(arbiter) = actix_rt::Arbiter::try_current() {
            arbiter.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    /// Something that needs a clock, as engines in the network do.
    async fn does(done: Arc<AtomicBool>) {
        let _ = tokio::time::timeout(Duration::from_secs(1), async {}).await;
        done.store(true, Ordering::SeqCst);
    }

    #[test]
    fn a_thread_whose_runtime_has_ended_does_nothing() {
        let done = Arc::new(AtomicBool::new(false));
        run_in_background(does(Arc::clone(&done)));
        assert!(!done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn what_is_ready_is_done_at_once() {
        let done = Arc::new(AtomicBool::new(false));
        run_in_background(does(Arc::clone(&done)));
        assert!(done.load(Ordering::SeqCst));
    }
}
