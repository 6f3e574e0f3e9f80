//! What other nodes have announced, until somebody takes it. It waits in a bounded queue: when that is full, all that the engine
//! keeps is to be read instead.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::Announcement;

/// How many bytes may wait.
const WAITING_BYTES: usize = 16 << 20;
/// About how many bytes an announcement takes besides its content.
const OVERHEAD_BYTES: usize = 256;

/// What has come, in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// The announcements.
    pub announcements: Vec<Announcement>,
    /// Some may have been lost: all that the engine keeps has to be read.
    pub are_lost: bool,
}

/// The announcements that wait.
#[derive(Debug, Default)]
pub struct AnnouncementQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    arrived: Arrived,
    bytes: usize,
}

impl AnnouncementQueue {
    pub(super) fn add(&self, announcement: Announcement) {
        {
            let mut waiting = self.waiting();
            let bytes = announcement.content.len() + OVERHEAD_BYTES;
            if waiting.bytes + bytes > WAITING_BYTES {
                waiting.arrived.are_lost = true;
            } else {
                waiting.bytes += bytes;
                waiting.arrived.announcements.push(announcement);
            }
        }
        self.arrived.notify_one();
    }

    /// Something may have been lost.
    pub fn note_lost(&self) {
        self.waiting().arrived.are_lost = true;
        self.arrived.notify_one();
    }

    /// Takes what has come; waits until there is something.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn take(&self) -> Arrived {
        loop {
            let arrived = self.arrived.notified();
            let taken = std::mem::take(&mut *self.waiting()).arrived;
            if taken != Arrived::default() {
                return taken;
            }
            arrived.await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn announcement(key: &str, bytes: usize) -> Announcement {
        Announcement {
            key: key.to_owned(),
            version: 0,
            given: Instant::now(),
            content: vec![0; bytes].into(),
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_told_as_lost() {
        let queue = AnnouncementQueue::default();
        queue.add(announcement("a", 1));
        queue.add(announcement("b", WAITING_BYTES));
        queue.add(announcement("c", 1));
        let taken = queue.take().await;
        let keys: Vec<_> = taken.announcements.iter().map(|it| &*it.key).collect();
        assert_eq!(keys, ["a", "c"]);
        assert!(taken.are_lost);
        queue.add(announcement("d", 1));
        assert!(!queue.take().await.are_lost);
        queue.note_lost();
        assert!(queue.take().await.are_lost);
    }
}
