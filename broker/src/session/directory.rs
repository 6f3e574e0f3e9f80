//! Which sessions can be reached by name, from whatever thread: those whose commands do not come over their own
//! connection.

use actix::Addr;
use dashmap::DashMap;
use widecast_protocol::SessionId;

use super::actor::SessionActor;
use super::dialect::Dialect;
use crate::limits::Backlog;

/// A session as other threads see it.
#[derive(Clone)]
pub struct SessionHandle {
    /// Where its commands go.
    pub address: Addr<SessionActor>,
    /// Its dialect.
    pub dialect: Dialect,
    /// The commands that wait for it to carry them out.
    pub backlog: Backlog,
}

impl SessionHandle {
    /// The handle of a session for which nothing waits.
    pub fn new(address: Addr<SessionActor>, dialect: Dialect) -> Self {
        let backlog = Backlog::default();
        Self {
            address,
            dialect,
            backlog,
        }
    }
}

/// Sessions by name.
#[derive(Default)]
pub struct SessionDirectory {
    sessions: DashMap<SessionId, SessionHandle>,
}

impl SessionDirectory {
    /// Lists a session until it is dropped.
    pub fn add(&self, id: &SessionId, session: SessionHandle) {
        self.sessions.insert(id.clone(), session);
    }

    /// How many sessions are listed.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// The session of this name.
    pub fn get(&self, id: &SessionId) -> Option<SessionHandle> {
        self.sessions.get(id).map(|handle| handle.clone())
    }

    pub(super) fn remove(&self, id: &SessionId) {
        self.sessions.remove(id);
    }
}
