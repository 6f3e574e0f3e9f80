//! What has come of requests and messages that are not whole yet, over all connections: bounded, for no client is charged
//! before it has sent something whole.
//!
//! Where all of it is more than the limit, the largest of the worker thread at hand is given up, not the newest: who holds
//! much and sends little must not keep others out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// Why something is given up, for the developer of the client.
pub const GIVEN_UP: &str = "what has come of unfinished requests and messages is more than limits.unfinished_bytes allows, and this is the largest";

/// Held by all threads together.
static TOTAL: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What is held on this thread, by size; the number tells those of one size apart.
    static HELD: RefCell<BTreeMap<(usize, u64), Rc<Holder>>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Who holds something, and is told to let go of it.
#[derive(Debug, Default)]
struct Holder {
    is_given_up: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Something that is not whole yet. Counted until it is dropped.
#[derive(Debug)]
pub struct Intake {
    bytes: usize,
    number: u64,
    holder: Rc<Holder>,
}

impl Intake {
    /// Nothing yet.
    pub fn new() -> Self {
        let number = NEXT.get();
        NEXT.set(number + 1);
        Self {
            bytes: 0,
            number,
            holder: Rc::default(),
        }
    }

    /// Has so many bytes now. Where all hold more than the limit, the largest are given up.
    pub fn hold(&mut self, bytes: usize, limit: usize) {
        if self.holder.is_given_up.get() {
            return;
        }
        self.release();
        self.bytes = bytes;
        TOTAL.fetch_add(bytes, Ordering::Relaxed);
        HELD.with_borrow_mut(|held| {
            held.insert((bytes, self.number), Rc::clone(&self.holder));
            while TOTAL.load(Ordering::Relaxed) > limit {
                let Some(((bytes, _), largest)) = held.pop_last() else {
                    return;
                };
                TOTAL.fetch_sub(bytes, Ordering::Relaxed);
                largest.is_given_up.set(true);
                if let Some(waker) = largest.waker.take() {
                    waker.wake();
                }
            }
        });
    }

    /// Whether it has been given up.
    pub fn is_given_up(&self) -> bool {
        self.holder.is_given_up.get()
    }

    /// Ready when it has been given up.
    pub fn poll_given_up(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_given_up() {
            return Poll::Ready(());
        }
        self.holder.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    fn release(&self) {
        let was_held = HELD.with_borrow_mut(|held| held.remove(&(self.bytes, self.number)));
        if was_held.is_some() {
            TOTAL.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_given_up_and_what_is_dropped_is_no_longer_counted() {
        // Far above what other tests of this process hold at the same time.
        const UNIT: usize = 1 << 40;
        let (mut small, mut large, mut third) = (Intake::new(), Intake::new(), Intake::new());
        small.hold(UNIT, 4 * UNIT);
        large.hold(2 * UNIT, 4 * UNIT);
        assert!(!small.is_given_up() && !large.is_given_up());
        third.hold(UNIT, 4 * UNIT - 1);
        assert!(large.is_given_up() && !small.is_given_up() && !third.is_given_up());
        large.hold(9 * UNIT, 1);
        assert!(!small.is_given_up(), "what is given up holds nothing more");
        drop((large, third));
        let mut fourth = Intake::new();
        fourth.hold(2 * UNIT, 4 * UNIT);
        assert!(!small.is_given_up() && !fourth.is_given_up());
    }
}
