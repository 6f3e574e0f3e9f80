//! Turns for large requests: so many bytes of them are inflated, decoded and carried out at a time, and the others wait.
//!
//! A whole request is nobody's fault, unlike one of which the rest does not come, so in its turn it is not given up because others are large, too. One that
//! is carried out slowly, because it waits for its client or for a backend, does not keep its turn, and counts with what is unfinished.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::Instant;

use super::hold::Hold;
use super::ledger::{Part, add};

/// Why a request was given up that has waited long enough.
pub const NO_TURN: &str = "the broker has too many large requests to carry out: try again later";

/// For how long a request that waits for others keeps its turn: in this time a batch of the largest size is published, unless it waits for a hook
/// or for a server far away.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// The bytes of one permit: a semaphore gives out no more than 2³² at once.
const UNIT: usize = 1 << 10;

/// The room for large requests.
#[derive(Debug)]
pub struct Turns {
    room: Arc<Semaphore>,
    units: u32,
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Turns {
    /// Room for so many bytes.
    pub fn new(bytes: u64) -> Self {
        let units = units(usize::try_from(bytes).unwrap_or(usize::MAX)).max(1);
        let room = Arc::new(Semaphore::new(units as usize));
        Self { room, units }
    }

    /// A turn for a request of at most so many bytes, if there is room for it and nobody waits. One that is larger than all the room has
    /// to have all of it.
    pub fn try_take(&self, bytes: usize) -> Option<Turn> {
        let taken = Arc::clone(&self.room).try_acquire_many_owned(self.wanted(bytes));
        match taken {
            Ok(permit) => Some(Turn::with(permit, bytes)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// Waits for the same. Who asked first has the first turn.
    ///
    /// # Cancel safety
    /// Safe; who asks again is the last.
    pub async fn take(&self, bytes: usize) -> Turn {
        let room = Arc::clone(&self.room);
        match room.acquire_many_owned(self.wanted(bytes)).await {
            Ok(permit) => Turn::with(permit, bytes),
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
    }

    fn wanted(&self, bytes: usize) -> u32 {
        units(bytes).min(self.units)
    }
}

/// The turn of one large request. Its bytes count for as long as there is this.
#[derive(Debug)]
pub struct Turn {
    permit: OwnedSemaphorePermit,
    bytes: i64,
}

impl Turn {
    fn with(permit: OwnedSemaphorePermit, bytes: usize) -> Self {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        add(Part::Requests, bytes);
        Self { permit, bytes }
    }

    /// The request has only so many bytes, as is known now: others may have the rest.
    pub fn shrink_to(&mut self, bytes: usize) {
        let spare = self.permit.num_permits();
        let spare = spare.saturating_sub(units(bytes) as usize);
        drop(self.permit.split(spare));
        let fewer = self.bytes.min(i64::try_from(bytes).unwrap_or(i64::MAX));
        add(Part::Requests, fewer - self.bytes);
        self.bytes = fewer;
    }

    /// The next one may have its turn, and the bytes count with all that is unfinished, which may have `limit` bytes: where
    /// that is too much, the largest is given up. For a request that is not carried out as fast as the broker can.
    pub fn into_hold(self, limit: u64) -> Hold {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        drop(self);
        let mut hold = Hold::of(Part::Unfinished);
        hold.hold(bytes, limit);
        hold
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        add(Part::Requests, -self.bytes);
    }
}

/// The turn of a request that is carried out piece by piece. If that takes long, because each piece is waited for, the next request has its turn,
/// and the rest counts with what is unfinished.
#[derive(Debug)]
pub struct LongTurn {
    turn: Option<Turn>,
    began: Instant,
    kept: Option<Hold>,
    /// How much all that is unfinished may have.
    limit: u64,
}

impl LongTurn {
    /// The request begins to be carried out, in its turn if it needs one. All that is unfinished may have `limit` bytes.
    pub fn begin(turn: Option<Turn>, limit: u64) -> Self {
        Self {
            turn,
            began: Instant::now(),
            kept: None,
            limit,
        }
    }

    /// To be asked before each piece: whether the rest is given up, because too much is unfinished and this is the largest.
    pub fn is_given_up(&mut self) -> bool {
        if self.turn.is_some() && self.began.elapsed() >= LONGEST_TURN {
            let turn = self.turn.take();
            self.kept = turn.map(|turn| turn.into_hold(self.limit));
        }
        self.kept.as_ref().is_some_and(Hold::is_given_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_long_keeps_nobody_out_and_may_be_given_up() {
        // Above all that other tests of this process hold at the same time.
        const LARGEST: usize = 1 << 41;
        let turns = Turns::new(10 << 10);
        let mut long = LongTurn::begin(turns.try_take(8 << 10), u64::MAX);
        assert!(!long.is_given_up());
        assert!(turns.try_take(LARGEST).is_none());
        tokio::time::sleep(LONGEST_TURN).await;
        assert!(!long.is_given_up());
        let largest = turns.try_take(LARGEST);
        assert!(largest.is_some());
        let mut largest = LongTurn::begin(largest, LARGEST as u64 / 2);
        assert!(!largest.is_given_up());
        tokio::time::sleep(LONGEST_TURN).await;
        assert!(largest.is_given_up() && !long.is_given_up());
        assert!(turns.try_take(LARGEST).is_some());
        assert!(!LongTurn::begin(None, 0).is_given_up());
    }

    #[test]
    fn large_requests_have_their_turn_one_after_the_other() {
        let turns = Turns::new(10 << 10);
        let mut first = turns.try_take(8 << 10).unwrap();
        assert!(turns.try_take(3 << 10).is_none());
        first.shrink_to(7 << 10);
        let second = turns.try_take(3 << 10).unwrap();
        let _kept = first.into_hold(u64::MAX);
        let third = turns.try_take(7 << 10).unwrap();
        drop((second, third));
        // Larger than all the room, and alone in it.
        let alone = turns.try_take(1 << 30).unwrap();
        assert!(turns.try_take(1).is_none());
        drop(alone);
        assert!(turns.try_take(1).is_some());
    }
}
