//! Memory that is held for one client and may have to be given up. It is bounded over all connections, because no client is
//! charged before it has sent or taken something whole.
//!
//! When a part exceeds its limit, the largest hold of the present worker thread is given up, and not the newest: a client
//! that holds much and moves little must not keep others out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::ledger::{Part, add, held};

/// Why something is given up, for the developer of the client.
pub const GIVEN_UP: &str = "what has come of unfinished requests and messages is more than limits.unfinished_bytes allows, and this is the largest";

/// By size; the number tells those of one size apart.
type BySize = BTreeMap<(usize, u64), Rc<Holder>>;

thread_local! {
    /// The holds of this thread, for each part.
    static HELD: [RefCell<BySize>; Part::ALL.len()] =
        const { [const { RefCell::new(BTreeMap::new()) }; Part::ALL.len()] };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// A holder, which is told when it has to let go.
#[derive(Debug, Default)]
struct Holder {
    is_given_up: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Something that is not whole yet. Counted until it is dropped.
#[derive(Debug)]
pub struct Hold {
    part: Part,
    bytes: usize,
    number: u64,
    holder: Rc<Holder>,
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Hold {
    /// Nothing yet.
    pub fn of(part: Part) -> Self {
        let number = NEXT.get();
        NEXT.set(number + 1);
        Self {
            part,
            bytes: 0,
            number,
            holder: Rc::default(),
        }
    }

    /// Has so many bytes now. Where all hold more than the limit, the largest are given up.
    pub fn hold(&mut self, bytes: usize, limit: u64) {
        if self.holder.is_given_up.get() {
            return;
        }
        self.release();
        self.bytes = bytes;
        if bytes == 0 {
            return;
        }
        add(self.part, signed(bytes));
        self.with_others(|others| {
            others.insert((bytes, self.number), Rc::clone(&self.holder));
            while held(self.part) > limit {
                let Some(((bytes, _), largest)) = others.pop_last() else {
                    return;
                };
                add(self.part, -signed(bytes));
                largest.is_given_up.set(true);
                if let Some(waker) = largest.waker.take() {
                    waker.wake();
                }
            }
        });
    }

    /// All that this thread holds of the part.
    fn with_others<R>(&self, act: impl FnOnce(&mut BySize) -> R) -> R {
        HELD.with(|held| act(&mut held[self.part as usize].borrow_mut()))
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
        let was_held = self.with_others(|others| others.remove(&(self.bytes, self.number)));
        if was_held.is_some() {
            add(self.part, -signed(self.bytes));
        }
    }
}

impl Drop for Hold {
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
        const LIMIT: u64 = UNIT as u64;
        let new = || Hold::of(Part::Unfinished);
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
    }
}
