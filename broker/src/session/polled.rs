//! The frames of a session of polls: kept after they were given out, until the next poll says that they arrived.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::actor::SessionActor;
use super::dialect::Farewell;
use super::session::Session;

/// What polls have taken of a session, and may ask for again.
#[derive(Default)]
pub(super) struct Polled {
    /// Given out, but not known to have arrived; the first has the number after `arrived`.
    frames: RefCell<VecDeque<Bytes>>,
    arrived: Cell<u64>,
    /// How many polls are waiting.
    waiting: Cell<usize>,
    /// Whether a poll has come since the last look.
    came: Cell<bool>,
    /// The frames end with a `goodbye`, because the outbox was closed.
    end_told: Cell<bool>,
    /// A newer poll has come: the one that waits has to give way.
    superseded: Rc<Notify>,
}

impl Polled {
    /// Whether a poll has come since the last call, or is waiting.
    pub(super) fn is_alive(&self) -> bool {
        self.came.replace(false) || self.waiting.get() > 0
    }

    fn forget_until(&self, arrived: u64) {
        let mut frames = self.frames.borrow_mut();
        while self.arrived.get() < arrived && frames.pop_front().is_some() {
            self.arrived.set(self.arrived.get() + 1);
        }
    }

    fn taken(&self) -> Taken {
        let frames: Vec<_> = self.frames.borrow().iter().cloned().collect();
        let cursor = self.arrived.get() + frames.len() as u64;
        Taken { frames, cursor }
    }
}

/// A poll: give me what is there, or what comes within `wait`.
#[derive(Message)]
#[rtype(result = "Taken")]
pub struct Take {
    /// The cursor of the last answer that arrived; frames up to it are forgotten.
    pub arrived: Option<u64>,
    /// How long to wait for the first frame.
    pub wait: Duration,
    /// Resolves when the poll's connection is gone: it waits no longer, and keeps no session alive.
    pub gone: oneshot::Receiver<()>,
}

/// The answer to a poll.
#[derive(MessageResponse, Debug, Default)]
pub struct Taken {
    /// The frames, each in the session's wire form.
    pub frames: Vec<Bytes>,
    /// What the next poll says has arrived.
    pub cursor: u64,
}

impl Handler<Take> for SessionActor {
    type Result = ResponseFuture<Taken>;

    fn handle(&mut self, take: Take, _: &mut Self::Context) -> Self::Result {
        Box::pin(Rc::clone(self.session()).take(take))
    }
}

impl Session {
    async fn take(self: Rc<Self>, take: Take) -> Taken {
        let Some(polled) = &self.polled else {
            return Taken::default();
        };
        polled.forget_until(take.arrived.unwrap_or(0));
        polled.superseded.notify_waiters();
        polled.waiting.set(polled.waiting.get() + 1);
        if polled.frames.borrow().is_empty() {
            let superseded = Rc::clone(&polled.superseded);
            let frames = std::future::poll_fn(|context| self.outbox().poll_take(context));
            tokio::select! {
                // The frames last: asking for them takes the place of the newer poll that waits for them.
                biased;
                () = superseded.notified() => {}
                _ = take.gone => {}
                frames = frames => polled.frames.borrow_mut().extend(frames),
                () = tokio::time::sleep(take.wait) => {}
            }
        }
        polled.waiting.set(polled.waiting.get() - 1);
        polled.came.set(true);
        self.tell_end(polled);
        polled.taken()
    }

    /// Tells the polls of a session whose outbox was closed that it has ended, and ends it once they know.
    fn tell_end(&self, polled: &Polled) {
        let Some(code) = self.outbox().closed() else {
            return;
        };
        if !polled.end_told.replace(true) {
            let goodbye = self.dialect().farewell(&Farewell {
                code,
                reason: code.meaning().to_owned(),
                reconnect_after_ms: code.retryable().then_some(0),
            });
            polled.frames.borrow_mut().push_back(goodbye);
        } else if polled.frames.borrow().is_empty() {
            self.end(code);
        }
    }
}
