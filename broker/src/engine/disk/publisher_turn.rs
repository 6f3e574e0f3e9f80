//! A publisher that writes by itself.

use std::thread;

use tokio::task::yield_now;

use super::queue::WriteQueue;

/// The data of a publication that no worker writes, because copying it takes long.
pub(super) const HEAVY_BYTES: usize = 64 << 10;

/// The turn of a publisher. Where others are expected, it comes once those of the same worker have published what has come, too, so that
/// all of it is written together. It comes at once otherwise, and when nobody waits for the answer any more.
pub(super) struct PublisherTurn<'a>(pub(super) &'a WriteQueue);

impl PublisherTurn<'_> {
    pub(super) async fn write(self) {
        if self.0.company.is_expected() {
            yield_now().await;
        }
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
