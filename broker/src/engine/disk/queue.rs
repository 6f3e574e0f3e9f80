//! What waits for the thread that writes: bounded in number and in bytes, so that a disk that has become slow does not fill the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};

use tokio::sync::oneshot;

use crate::engine::{EngineError, Publication, Published};

/// How many publications may wait to be written, and how many bytes of data they may have together; further ones are refused. What
/// is being written counts, too.
const WAITING_JOBS: usize = 16_384;
const WAITING_BYTES: usize = 64 << 20;

/// What the thread is asked for.
pub(super) enum Job {
    /// To publish a message.
    Publish(WaitingPublication),
    /// To end, once the disk has everything.
    Close {
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
    /// To do all upkeep at once.
    #[cfg(test)]
    Upkeep {
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
}

/// A publication that waits to be written.
pub(super) struct WaitingPublication {
    pub(super) publication: Publication,
    pub(super) caller: Caller,
}

/// Who waits for the answer. Their publication takes room until they have it.
pub(super) struct Caller {
    reply: oneshot::Sender<Result<Published, EngineError>>,
    _room: Room,
}

impl Caller {
    pub(super) fn answer(self, answer: Result<Published, EngineError>) {
        // Whoever asked may have gone.
        let _ = self.reply.send(answer);
    }
}

/// What a publication takes of the bytes that may wait, until this is dropped.
struct Room {
    waiting_bytes: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The way to the thread, which ends when this is dropped.
pub(super) struct WriterHandle {
    jobs: SyncSender<Job>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl WriterHandle {
    /// The way, and where it leads.
    pub(super) fn new() -> (Self, Receiver<Job>) {
        let (sender, jobs) = mpsc::sync_channel(WAITING_JOBS);
        let handle = Self {
            jobs: sender,
            waiting_bytes: Arc::default(),
        };
        (handle, jobs)
    }

    /// Asks the thread to publish a message. Returns where the answer will come.
    ///
    /// # Errors
    /// When too much waits, or the thread has ended.
    pub(super) fn publish(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<Published, EngineError>>, EngineError> {
        let room = self.room(publication.payload.size_bytes())?;
        let (reply, answer) = oneshot::channel();
        let caller = Caller { reply, _room: room };
        self.send(Job::Publish(WaitingPublication {
            publication,
            caller,
        }))?;
        Ok(answer)
    }

    /// Asks the thread for something.
    ///
    /// # Errors
    /// When too much waits, or the thread has ended.
    pub(super) fn send(&self, job: Job) -> Result<(), EngineError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => too_much(),
            TrySendError::Disconnected(_) => EngineError::unavailable("the engine has been closed"),
        })
    }

    /// Takes room for a publication. One that is larger than all the room there is gets it when nothing else waits.
    fn room(&self, bytes: usize) -> Result<Room, EngineError> {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = Room {
            waiting_bytes: Arc::clone(&self.waiting_bytes),
            bytes,
        };
        if before > 0 && before.saturating_add(bytes) > WAITING_BYTES {
            return Err(too_much());
        }
        Ok(room)
    }
}

fn too_much() -> EngineError {
    EngineError::unavailable("messages come faster than the disk can write them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance::publication;

    fn large(bytes: usize) -> Publication {
        publication("news", &"x".repeat(bytes))
    }

    fn is_too_much<T>(asked: Result<T, EngineError>) -> bool {
        let source = |error| match error {
            EngineError::Unavailable { source } => source.to_string(),
            EngineError::Corrupt { expected } => expected.to_owned(),
        };
        asked
            .err()
            .map(source)
            .is_some_and(|text| text.contains("faster than the disk"))
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let (handle, jobs) = WriterHandle::new();
        let part = WAITING_BYTES / 2;
        handle.publish(large(part)).unwrap();
        handle.publish(large(part)).unwrap();
        assert!(is_too_much(handle.publish(large(1))));
        // Room is there again once a publication has been answered, whatever the answer is.
        let Ok(Job::Publish(first)) = jobs.recv() else {
            panic!("a publication")
        };
        assert!(is_too_much(handle.publish(large(1))), "it is being written");
        first
            .caller
            .answer(Err(EngineError::unavailable("the disk is full")));
        handle.publish(large(part)).unwrap();
        assert!(is_too_much(handle.publish(large(1))));
        // What is thrown away takes no room, either.
        drop(jobs);
        assert!(!is_too_much(handle.publish(large(1))));
        assert_eq!(handle.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_message_that_is_larger_than_all_the_room_waits_alone() {
        let (handle, jobs) = WriterHandle::new();
        handle.publish(large(WAITING_BYTES + 1)).unwrap();
        assert!(is_too_much(handle.publish(large(1))));
        drop(jobs.recv().unwrap());
        handle.publish(large(1)).unwrap();
        assert!(is_too_much(handle.publish(large(WAITING_BYTES + 1))));
    }

    #[test]
    fn what_waits_is_bounded_in_number() {
        let (handle, _jobs) = WriterHandle::new();
        for _ in 0..WAITING_JOBS {
            handle.publish(large(0)).unwrap();
        }
        assert!(is_too_much(handle.publish(large(0))));
    }
}
