//! Ends the sessions for which most is held when it is too much: what waits for a client that does not take it must not keep
//! others out.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::idle_polls::make_room;
use super::session::Session;
use super::worker::Worker;
use crate::memory_budget::{Level, Part, held, level};
use crate::registry::{Ended, forget_recent};

/// How often the amount of held memory is checked.
const PAUSE: Duration = Duration::from_millis(25);

/// At first only sessions are ended that hold at least this part of what all may hold. Each look in vain halves the
/// threshold: so those that hold most go first, on whatever worker they are.
const FIRST_PART: u64 = 8;

/// For less than this no session is ended.
const LEAST_BYTES: u64 = 4 << 10;

/// Looks after what the sessions of a worker hold, for ever.
pub async fn relieve(worker: Worker) {
    let bounds = worker.services.bounds;
    let (mut replies, mut forms) = (Threshold::default(), Threshold::default());
    loop {
        sleep(PAUSE).await;
        let level = level();
        if level > Level::Calm {
            forget_recent();
        }
        make_room(&worker, level);
        worker.shard.flush_list().publish_tally();
        // When all of it is too much, each part has to do with half of its share.
        let share = |bytes: u64| {
            if level == Level::Full {
                bytes / 2
            } else {
                bytes
            }
        };
        let limit = share(bounds.replies);
        let waiting = || held(Part::Replies) + held(Part::Polled);
        replies.enforce(&worker, limit, waiting, Session::own_bytes);
        let limit = share(bounds.forms);
        forms.enforce(&worker, limit, || held(Part::Forms), Session::waiting_bytes);
    }
}

/// The number of bytes from which on a session is ended, while all sessions together hold too much.
#[derive(Debug, Default)]
struct Threshold(Option<u64>);

impl Threshold {
    fn enforce(
        &mut self,
        worker: &Worker,
        limit: u64,
        all: impl Fn() -> u64,
        of: impl Fn(&Session) -> u64,
    ) {
        if all() <= limit {
            self.0 = None;
            return;
        }
        let threshold = self.0.unwrap_or(limit / FIRST_PART).max(LEAST_BYTES);
        self.0 = Some(threshold / 2);
        let mut largest: Vec<(u64, Rc<Session>)> = worker
            .heartbeat
            .sessions()
            .into_iter()
            .map(|session| (of(&session), session))
            .filter(|(bytes, _)| *bytes >= threshold)
            .collect();
        largest.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, session) in largest {
            if all() <= limit {
                break;
            }
            session.span().in_scope(|| {
                tracing::debug!(
                    bytes,
                    "memory is short: ending the session for which most waits"
                );
            });
            session.give_way();
            worker.shard.flush_list().publish_tally();
        }
    }
}

impl Session {
    /// The bytes that are held for this session alone.
    fn own_bytes(&self) -> u64 {
        let polled = self.polled.as_ref();
        let polled = polled.map_or(0, |polled| polled.held_bytes());
        (self.outbox().owed_bytes() + polled) as u64
    }

    /// The bytes that wait for it, and may wait for others, too.
    fn waiting_bytes(&self) -> u64 {
        let polled = self.polled.as_ref();
        let polled = polled.map_or(0, |polled| polled.held_bytes());
        (self.outbox().queued_bytes() + polled) as u64
    }

    /// Ends the session, and lets go of all that is held for it. One of polls is told why by the next.
    fn give_way(&self) {
        self.outbox().close(Ended::Overloaded);
        if let Some(polled) = &self.polled {
            polled.forget();
        }
    }
}
