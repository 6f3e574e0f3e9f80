//! The heartbeat of all sessions of a worker: one queue ordered by time and one timer, instead of a timer each.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::session::Session;

/// How many sessions are looked after before the worker does something else.
const SESSIONS_PER_SLICE: usize = 64;

struct Appointment {
    at: Instant,
    session: Weak<Session>,
}

impl PartialEq for Appointment {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Appointment {}

impl PartialOrd for Appointment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Appointment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The sessions of a worker, each with the time at which to look after it next.
#[derive(Default)]
pub struct Heart {
    appointments: RefCell<BinaryHeap<Reverse<Appointment>>>,
    /// Woken when an appointment is made that is earlier than the one waited for.
    earlier: Notify,
    waiting_for: Cell<Option<Instant>>,
}

impl Heart {
    /// Starts to beat on the current worker's thread.
    pub fn start() -> Rc<Self> {
        let heart = Rc::<Self>::default();
        actix_rt::spawn(Rc::clone(&heart).beat());
        heart
    }

    /// Looks after a session from now on, first after `delay`.
    pub(super) fn look_after(&self, session: &Rc<Session>, delay: Duration) {
        let at = Instant::now() + delay;
        let session = Rc::downgrade(session);
        self.appointments
            .borrow_mut()
            .push(Reverse(Appointment { at, session }));
        if self.waiting_for.get().is_none_or(|waiting| at < waiting) {
            self.earlier.notify_one();
        }
    }

    /// Every session of the worker.
    pub fn sessions(&self) -> Vec<Rc<Session>> {
        let appointments = self.appointments.borrow();
        appointments
            .iter()
            .filter_map(|Reverse(appointment)| appointment.session.upgrade())
            .collect()
    }

    async fn beat(self: Rc<Self>) {
        loop {
            self.look_after_those_due();
            let next = self
                .appointments
                .borrow()
                .peek()
                .map(|Reverse(next)| next.at);
            self.waiting_for.set(next);
            match next {
                Some(at) if at <= Instant::now() => tokio::task::yield_now().await,
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    fn look_after_those_due(&self) {
        let now = Instant::now();
        for _ in 0..SESSIONS_PER_SLICE {
            let Some(session) = self.next_due(now) else {
                return;
            };
            if let Some(session) = session.upgrade()
                && let Some(delay) = session.beat()
            {
                let at = now + delay;
                let session = Rc::downgrade(&session);
                self.appointments
                    .borrow_mut()
                    .push(Reverse(Appointment { at, session }));
            }
        }
    }

    fn next_due(&self, now: Instant) -> Option<Weak<Session>> {
        let mut appointments = self.appointments.borrow_mut();
        let due = appointments
            .peek()
            .is_some_and(|Reverse(next)| next.at <= now);
        if due {
            appointments.pop().map(|Reverse(next)| next.session)
        } else {
            None
        }
    }
}
