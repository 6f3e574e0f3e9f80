//! The heartbeat of all sessions of a worker: one queue ordered by time and one timer, instead of a timer each.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::liveness::{LivenessAction, Transfer};
use super::session::Session;
use crate::registry::Ended;

/// How many sessions are looked after before the worker does something else.
const SESSIONS_PER_SLICE: usize = 64;

struct ScheduledBeat {
    at: Instant,
    session: Weak<Session>,
}

impl PartialEq for ScheduledBeat {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for ScheduledBeat {}

impl PartialOrd for ScheduledBeat {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ScheduledBeat {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The sessions of a worker, each with the time at which to look after it next.
#[derive(Default)]
pub struct Heartbeat {
    beats: RefCell<BinaryHeap<Reverse<ScheduledBeat>>>,
    /// Woken when a session is added that is due earlier than the one waited for.
    earlier: Notify,
    waiting_for: Cell<Option<Instant>>,
}

impl Heartbeat {
    /// Starts to beat on the current worker's thread.
    pub fn start() -> Rc<Self> {
        let heartbeat = Rc::<Self>::default();
        actix_rt::spawn(Rc::clone(&heartbeat).beat());
        heartbeat
    }

    /// Looks after a session from now on, first after `delay`.
    pub(super) fn look_after(&self, session: &Rc<Session>, delay: Duration) {
        let at = Instant::now() + delay;
        let session = Rc::downgrade(session);
        self.beats
            .borrow_mut()
            .push(Reverse(ScheduledBeat { at, session }));
        if self.waiting_for.get().is_none_or(|waiting| at < waiting) {
            self.earlier.notify_one();
        }
    }

    /// Every session of the worker.
    pub fn sessions(&self) -> Vec<Rc<Session>> {
        let beats = self.beats.borrow();
        beats
            .iter()
            .filter_map(|Reverse(beat)| beat.session.upgrade())
            .collect()
    }

    async fn beat(self: Rc<Self>) {
        loop {
            self.look_after_those_due();
            let next = self.beats.borrow().peek().map(|Reverse(next)| next.at);
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
                self.beats
                    .borrow_mut()
                    .push(Reverse(ScheduledBeat { at, session }));
            }
        }
    }

    fn next_due(&self, now: Instant) -> Option<Weak<Session>> {
        let mut beats = self.beats.borrow_mut();
        let due = beats.peek().is_some_and(|Reverse(next)| next.at <= now);
        if due {
            beats.pop().map(|Reverse(next)| next.session)
        } else {
            None
        }
    }
}

impl Session {
    /// Sends a heartbeat or ends the session of a client that is gone; says when to look again.
    fn beat(&self) -> Option<Duration> {
        if !self.outbox().is_open() {
            // It had time to take its last frames.
            self.end(Ended::HeartbeatTimeout);
            return None;
        }
        let config = &self.services().config;
        if self.polled.is_some() {
            let most = config.poll.session_idle;
            let idle = self.idle_for();
            let left = idle.map_or(most, |idle| most.saturating_sub(idle));
            if left.is_zero() {
                self.end(Ended::HeartbeatTimeout);
                return None;
            }
            return Some(left);
        }
        if self.dialect().is_websocket() {
            return self.check_liveness();
        }
        self.send_heartbeat();
        Some(config.heartbeat.interval)
    }

    fn check_liveness(&self) -> Option<Duration> {
        let settings = &self.services().config.heartbeat;
        let (interval, timeout) = (settings.interval, settings.timeout);
        let progress = Transfer {
            written_bytes: self.outbox().written_bytes(),
            waiting_bytes: self.outbox().queued_bytes(),
        };
        match self.liveness.check(progress) {
            LivenessAction::Ping => {
                self.send_heartbeat();
                Some(timeout)
            }
            LivenessAction::Wait if interval > timeout => Some(interval.saturating_sub(timeout)),
            // The next ping is due already.
            LivenessAction::Wait => self.beat(),
            LivenessAction::GiveUp => {
                let metrics = &self.services().metrics;
                metrics.sessions.heartbeat_timeouts.inc();
                self.give_up();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::session::trial::Trial;

    #[actix_web::test]
    async fn a_heartbeat_does_not_come_on_top_of_what_the_client_is_receiving() {
        let trial = Trial::new();
        let session = trial.session();
        session.send_heartbeat();
        let heartbeat = session.outbox().queued_bytes();
        assert!(heartbeat > 0);
        let limit = session.outbox().limit_bytes();
        for _ in 0..limit {
            session.send_heartbeat();
        }
        assert_eq!(session.outbox().queued_bytes(), heartbeat);
        assert!(session.outbox().is_open());
    }
}
