//! A publisher that writes by itself.

use std::thread;

use tokio::task::yield_now;

use super::queue::WriteQueue;

/// The data of a publication that no worker writes, because copying it takes long.
pub(super) const HEAVY_BYTES: usize = 64 << 10;

/// The turn of a publisher. It comes once the others of the same worker have published what has come, too, so that all of it is written
/// together; or at once, when nobody waits for the answer any more.
pub(super) struct PublisherTurn<'a>(pub(super) &'a WriteQueue);

impl PublisherTurn<'_> {
    pub(super) async fn write(self) {
        yield_now().await;
    }
}

impl Drop for PublisherTurn<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // What fails is not the engine, but somebody who was about to publish.
            self.0.call_thread();
        } else {
            self.0.write_here();
        }
    }
}
