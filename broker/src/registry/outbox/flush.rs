//! The list of outboxes that have something to write, and the writing, a slice at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use crate::memory_budget::{self, Part};
use crate::metrics::{Deliveries, Policy};

use super::Outbox;
use super::backlog::Size;
use super::writing::Flushed;

/// How many sockets are written before the worker looks at its other work: a fan-out of 1,000 writes would hold it for 3.5 ms.
const SOCKETS_PER_SLICE: usize = 64;

/// How many messages are timed between two moments in which everything is written.
const SAMPLES: usize = 1024;

/// The outboxes of a shard that have something to write.
pub struct FlushList {
    dirty: RefCell<VecDeque<Rc<Outbox>>>,
    waker: RefCell<Option<Waker>>,
    /// The outboxes with subscriptions that have fallen behind, and nobody who attends to them yet.
    behind: RefCell<Vec<Rc<Outbox>>>,
    /// The arrival times of the messages that are not yet written to everybody.
    arrivals: RefCell<Vec<Instant>>,
    /// How many outboxes are left to be written to in this round.
    round: Cell<usize>,
    tally: Tally,
    metrics: Deliveries,
}

/// The counts since the last slice: so the shared figures are updated once per slice instead of once per write.
#[derive(Default)]
struct Tally {
    writes: Cell<u64>,
    written_bytes: Cell<u64>,
    /// How much more, or less, waits in the outboxes.
    waiting_bytes: Cell<i64>,
    /// How many of these bytes belong to answers.
    owed_bytes: Cell<i64>,
    /// The fullest an outbox has been.
    fullest_bytes: Cell<usize>,
}

impl FlushList {
    /// An empty list that counts what it does.
    pub fn new(metrics: Deliveries) -> Rc<Self> {
        Rc::new(Self {
            dirty: RefCell::default(),
            waker: RefCell::default(),
            behind: RefCell::default(),
            arrivals: RefCell::default(),
            round: Cell::default(),
            tally: Tally::default(),
            metrics,
        })
    }

    /// A message has come for this shard's subscribers.
    pub(in crate::registry) fn arrived(&self) {
        let mut arrivals = self.arrivals.borrow_mut();
        if arrivals.len() < SAMPLES {
            arrivals.push(Instant::now());
        }
    }

    /// An outbox held so many bytes before a change, and so many after it.
    pub(in crate::registry) fn changed(&self, before: Size, after: Size) {
        let tally = &self.tally;
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let add = |to: &Cell<i64>, before, after| to.set(to.get() + signed(after) - signed(before));
        add(&tally.waiting_bytes, before.bytes, after.bytes);
        add(&tally.owed_bytes, before.owed, after.owed);
        tally
            .fullest_bytes
            .set(tally.fullest_bytes.get().max(after.bytes));
    }

    /// One write has taken this many bytes.
    pub(in crate::registry) fn wrote(&self, bytes: usize) {
        let tally = &self.tally;
        tally.writes.set(tally.writes.get() + 1);
        tally
            .written_bytes
            .set(tally.written_bytes.get() + bytes as u64);
    }

    /// This many messages were dropped to make room for a message that must not be dropped.
    pub(in crate::registry) fn dropped(&self, messages: usize) {
        if messages > 0 {
            self.metrics.dropped(Policy::DropOldest, messages as u64);
        }
    }

    /// Brings the figures that all threads share up to date.
    pub fn publish_tally(&self) {
        let (tally, metrics) = (&self.tally, &self.metrics);
        metrics.writes.inc_by(tally.writes.take());
        metrics.written_bytes.inc_by(tally.written_bytes.take());
        metrics.outbox_bytes.inc_by(tally.waiting_bytes.take());
        memory_budget::add(Part::Replies, tally.owed_bytes.take());
        metrics.outbox_held(tally.fullest_bytes.take() as u64);
        if self.dirty.borrow().is_empty() {
            for arrived in self.arrivals.borrow_mut().drain(..) {
                metrics.flushed(arrived.elapsed());
            }
        }
    }

    /// An outbox has a subscription that has fallen behind.
    pub(in crate::registry) fn add_behind(&self, outbox: Rc<Outbox>) {
        self.behind.borrow_mut().push(outbox);
    }

    /// The outboxes that have become behind since the last call.
    pub(in crate::registry) fn take_behind(&self) -> Vec<Rc<Outbox>> {
        self.behind.take()
    }

    pub(in crate::registry) fn add(&self, outbox: Rc<Outbox>) {
        self.dirty.borrow_mut().push_back(outbox);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn flush_one(self: &Rc<Self>, outbox: Rc<Outbox>) {
        match outbox.flush() {
            Flushed::Done => outbox.scheduled.set(false),
            Flushed::More => self.dirty.borrow_mut().push_back(outbox),
            Flushed::Blocked => {
                let list = Rc::clone(self);
                actix_rt::spawn(async move {
                    outbox.writable().await;
                    list.add(outbox);
                });
            }
        }
    }

    /// Writes what some of the outboxes hold, and has the task woken while others are left or when there are some again.
    pub(in crate::registry) fn write_slice(self: &Rc<Self>, context: &Context<'_>) {
        for _ in 0..SOCKETS_PER_SLICE {
            let next = self.dirty.borrow_mut().pop_front();
            let Some(outbox) = next else { break };
            self.round.set(self.round.get().saturating_sub(1));
            self.flush_one(outbox);
        }
        self.publish_tally();
        if self.dirty.borrow().is_empty() {
            *self.waker.borrow_mut() = Some(context.waker().clone());
        } else {
            context.waker().wake_by_ref();
        }
    }

    /// A round begins, in which each outbox is written to that has something now.
    pub(in crate::registry) fn begin_round(&self) {
        self.round.set(self.dirty.borrow().len());
    }

    /// Whether the last round is over.
    pub(in crate::registry) fn has_gone_round(&self) -> bool {
        self.round.get() == 0
    }
}
