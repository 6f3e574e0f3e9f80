//! A publication that waits to be written. All of them together are bounded in bytes, so that a disk that has become slow does not fill the
//! memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use crate::engine::{EngineError, Publication, Published};
use crate::memory_budget::{self, Part};

/// A publication that waits to be written.
pub(super) struct WaitingPublication {
    pub(super) publication: Publication,
    pub(super) caller: Caller,
}

/// Who waits for the answer. Their publication takes room until they have it.
pub(super) struct Caller {
    pub(super) reply: oneshot::Sender<Result<Published, EngineError>>,
    pub(super) room: Room,
}

impl Caller {
    pub(super) fn answer(self, answer: Result<Published, EngineError>) {
        drop(self.room);
        // Whoever asked may have gone.
        let _ = self.reply.send(answer);
    }
}

/// The room of one engine. What is being written takes room, too.
pub(super) struct WaitingRoom {
    bytes: usize,
    taken: Arc<AtomicUsize>,
}

/// What one publication takes of it, until this is dropped.
pub(super) struct Room {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl WaitingRoom {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            taken: Arc::default(),
        }
    }

    /// Takes room for a publication. One that is larger than all the room there is gets it when nothing else waits.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn take(&self, publication: &Publication) -> Result<Room, EngineError> {
        let bytes = publication.payload.size_bytes()
            + publication.channel.as_str().len()
            + size_of::<WaitingPublication>();
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        memory_budget::add(Part::Unwritten, signed(bytes));
        let room = Room {
            taken: Arc::clone(&self.taken),
            bytes,
        };
        if before > 0 && before.saturating_add(bytes) > self.bytes {
            return Err(too_much());
        }
        Ok(room)
    }

    /// How many publications have room now.
    pub(super) fn publications(&self) -> usize {
        // Each of them shares the count of bytes with this, so nobody has to count them.
        Arc::strong_count(&self.taken) - 1
    }

    /// How many bytes these take.
    pub(super) fn taken_bytes(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        memory_budget::add(Part::Unwritten, -signed(self.bytes));
    }
}

/// More comes than the disk takes.
pub(super) fn too_much() -> EngineError {
    EngineError::Overloaded {
        reason: "messages come faster than the disk can write them",
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance::publication;

    const ROOM: u64 = 1 << 20;

    fn take(room: &WaitingRoom, bytes: u64) -> Result<Room, EngineError> {
        let text = "x".repeat(usize::try_from(bytes).unwrap());
        room.take(&publication("news", &text))
    }

    fn is_refused(taken: &Result<Room, EngineError>) -> bool {
        matches!(taken, Err(EngineError::Overloaded { .. }))
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let room = WaitingRoom::new(ROOM);
        let first = take(&room, ROOM / 2).unwrap();
        let second = take(&room, ROOM / 4).unwrap();
        assert!(is_refused(&take(&room, ROOM / 2)));
        drop(first);
        let third = take(&room, ROOM / 2).unwrap();
        assert_eq!(room.publications(), 2);
        assert!(room.taken_bytes() as u64 > ROOM * 3 / 4);
        assert!(is_refused(&take(&room, ROOM / 2)));
        drop((second, third));
        assert_eq!((room.publications(), room.taken_bytes()), (0, 0));
    }

    #[test]
    fn many_small_messages_count_for_more_than_their_data() {
        let room = WaitingRoom::new(ROOM);
        let taken: Vec<_> = (0..ROOM).map_while(|_| take(&room, 0).ok()).collect();
        assert!(taken.len() < 10_000, "{}", taken.len());
    }

    #[test]
    fn a_message_that_is_larger_than_all_the_room_waits_alone() {
        let room = WaitingRoom::new(ROOM);
        let large = take(&room, ROOM + 1).unwrap();
        assert!(is_refused(&take(&room, 1)));
        drop(large);
        let small = take(&room, 1).unwrap();
        assert!(is_refused(&take(&room, ROOM + 1)));
        drop(small);
    }
}
