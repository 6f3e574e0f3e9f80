//! Memory that is held for one client and may have to be given up. It is bounded over all connections, because no client is
//! charged before it has sent or taken something whole.
//!
//! When a part exceeds its limit, the largest hold is given up, whichever thread has it, and not the newest: a client that holds much and
//! moves little must not keep others out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::ledger::{Part, add, held};

/// Why something is given up, for the developer of the client.
pub const GIVEN_UP: &str = "what has come of unfinished requests and messages is more than limits.unfinished_bytes allows, and this is the largest";

/// By size; the number tells those of one size apart.
type BySize = BTreeMap<(usize, u64), Arc<Holder>>;

/// All holds of each part. What is whole at once is in none of them, so that few have to take the lock.
static HELD: [Mutex<BySize>; Part::ALL.len()] =
    [const { Mutex::new(BTreeMap::new()) }; Part::ALL.len()];

/// How often each part had to give something up.
static GIVEN_UP_OF: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; Part::ALL.len()];

/// The number of the next hold.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A holder, which is told when it has to let go.
#[derive(Debug, Default)]
struct Holder {
    /// Changed only while all holds of its part are locked.
    is_given_up: AtomicBool,
    waker: AtomicWaker,
}

impl Holder {
    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// How often something of this part was given up since the start.
pub fn given_up(part: Part) -> u64 {
    GIVEN_UP_OF[part as usize].load(Ordering::Relaxed)
}

/// Something that is not whole yet. Counted until it is dropped.
#[derive(Debug)]
pub struct Hold {
    part: Part,
    bytes: usize,
    number: u64,
    holder: Arc<Holder>,
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Hold {
    /// Nothing yet.
    pub fn of(part: Part) -> Self {
        Self {
            part,
            bytes: 0,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            holder: Arc::default(),
        }
    }

    /// Has so many bytes now. Where all hold more than the limit, the largest are given up.
    pub fn hold(&mut self, bytes: usize, limit: u64) {
        let mut all = self.all();
        if self.is_given_up() {
            return;
        }
        self.release(&mut all);
        self.bytes = bytes;
        if bytes == 0 {
            return;
        }
        add(self.part, signed(bytes));
        all.insert((bytes, self.number), Arc::clone(&self.holder));
        while held(self.part) > limit {
            let Some(((bytes, _), largest)) = all.pop_last() else {
                return;
            };
            add(self.part, -signed(bytes));
            largest.give_up();
            GIVEN_UP_OF[self.part as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All that is held of the part.
    fn all(&self) -> MutexGuard<'static, BySize> {
        // No code that can panic runs under the lock.
        HELD[self.part as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has been given up.
    pub fn is_given_up(&self) -> bool {
        self.holder.is_given_up()
    }

    /// Ready when it has been given up.
    pub fn poll_given_up(&self, context: &mut Context<'_>) -> Poll<()> {
        self.holder.waker.register(context.waker());
        if self.is_given_up() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn release(&self, all: &mut BySize) {
        if all.remove(&(self.bytes, self.number)).is_some() {
            add(self.part, -signed(self.bytes));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.release(&mut self.all());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_given_up_and_what_is_dropped_is_no_longer_counted() {
        // Of a part that no other test of this process holds.
        const UNIT: usize = 1 << 40;
        const LIMIT: u64 = UNIT as u64;
        let new = || Hold::of(Part::Sessions);
        let (mut small, mut large, mut third) = (new(), new(), new());
        small.hold(UNIT, 4 * LIMIT);
        large.hold(2 * UNIT, 4 * LIMIT);
        assert!(!small.is_given_up() && !large.is_given_up());
        third.hold(UNIT, 4 * LIMIT - 1);
        assert!(large.is_given_up() && !small.is_given_up() && !third.is_given_up());
        large.hold(9 * UNIT, 1);
        assert!(!small.is_given_up(), "what is given up holds nothing more");
        drop((large, third));
        let mut fourth = new();
        fourth.hold(2 * UNIT, 4 * LIMIT);
        assert!(!small.is_given_up() && !fourth.is_given_up());
        // The largest may be another thread's.
        let mut fifth = new();
        std::thread::scope(|scope| scope.spawn(|| fifth.hold(UNIT, 4 * LIMIT - 1)).join()).unwrap();
        assert!(fourth.is_given_up() && !small.is_given_up() && !fifth.is_given_up());
    }
}
