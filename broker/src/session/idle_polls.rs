//! Ends the sessions of polls that nobody has polled for longest, when there are nearly as many as there may be or memory is short:
//! they have no connection, so that a client can leave any number of them behind, and one that is missed costs its client a new
//! session and nothing else.

use std::time::Duration;

use super::worker::Worker;
use crate::memory_budget::Level;
use crate::registry::Ended;

/// A session that was polled so short a time ago is in use: its client is on its way back.
const IN_USE: Duration = Duration::from_secs(1);

/// While memory is short, but not yet at its end, only what has been idle for so long goes.
const LONG: Duration = Duration::from_secs(10);

/// How long a session of polls may be idle at the moment; none while any may stay. `count` is how many there are, of `limit`.
fn most_idle(level: Level, count: usize, limit: usize) -> Option<Duration> {
    if level == Level::Full || count >= limit / 8 * 7 {
        Some(IN_USE)
    } else if level == Level::Tight {
        Some(LONG)
    } else {
        None
    }
}

/// Looks once whether the sessions of polls on this worker have to make room, and ends an eighth of them if so.
pub(super) fn make_room(worker: &Worker, level: Level) {
    let services = &worker.services;
    let limit = services.config.server.max_connections;
    let Some(most) = most_idle(level, services.sessions.count(), limit) else {
        return;
    };
    let sessions = worker.heartbeat.sessions();
    let mut idle: Vec<_> = sessions
        .iter()
        .filter_map(|session| Some((session.idle_for()?, session)))
        .filter(|(idle, _)| *idle >= most)
        .collect();
    let share = idle.len().div_ceil(8);
    idle.sort_by_key(|(idle, _)| std::cmp::Reverse(*idle));
    for (idle, session) in idle.into_iter().take(share) {
        session.span().in_scope(|| {
            tracing::debug!(
                ?idle,
                "ending a session that nobody polls, to make room for others"
            );
        });
        session.end(Ended::Overloaded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_to_go_while_there_is_room() {
        assert_eq!(most_idle(Level::Calm, 80, 100), None);
        assert_eq!(most_idle(Level::Calm, 90, 100), Some(IN_USE));
        assert_eq!(most_idle(Level::Tight, 0, 100), Some(LONG));
        assert_eq!(most_idle(Level::Full, 0, 100), Some(IN_USE));
    }
}
