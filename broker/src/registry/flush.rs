//! Which outboxes have something to write, and the writing of it, a slice at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::outbox::{Flushed, Outbox};

/// How many sockets are written before the worker looks at its other work: a fan-out of 1,000 writes would hold it for 3.5 ms.
const SOCKETS_PER_SLICE: usize = 64;

/// The outboxes of a shard that have something to write.
#[derive(Default)]
pub struct FlushList {
    dirty: RefCell<VecDeque<Rc<Outbox>>>,
    waker: RefCell<Option<Waker>>,
}

impl FlushList {
    /// An empty list.
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    pub(super) fn add(&self, outbox: Rc<Outbox>) {
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
}

/// Writes what the list's outboxes hold, for as long as the shard lives.
pub(super) struct Flush(pub(super) Rc<FlushList>);

impl Future for Flush {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..SOCKETS_PER_SLICE {
            let next = self.0.dirty.borrow_mut().pop_front();
            let Some(outbox) = next else { break };
            self.0.flush_one(outbox);
        }
        if self.0.dirty.borrow().is_empty() {
            *self.0.waker.borrow_mut() = Some(context.waker().clone());
        } else {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
