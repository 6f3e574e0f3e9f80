//! The things that the sessions of one worker thread share.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::registry::Shard;

use super::heartbeat::Heartbeat;
use super::index::SessionIndex;
use super::services::Services;

/// The things that the sessions of one worker thread share. A clone is the same.
#[derive(Clone)]
pub struct Worker(Rc<WorkerParts>);

/// What a worker thread has.
pub struct WorkerParts {
    /// The services that all threads share.
    pub services: Arc<Services>,
    /// The thread's subscriptions.
    pub shard: Rc<Shard>,
    /// The thread's heartbeat.
    pub heartbeat: Rc<Heartbeat>,
    /// The thread's sessions.
    pub sessions: SessionIndex,
}

impl Worker {
    /// That of this thread, without sessions.
    pub fn new(services: Arc<Services>, shard: Rc<Shard>) -> Self {
        Self(Rc::new(WorkerParts {
            services,
            shard,
            heartbeat: Heartbeat::start(),
            sessions: SessionIndex::default(),
        }))
    }
}

impl Deref for Worker {
    type Target = WorkerParts;

    fn deref(&self) -> &WorkerParts {
        &self.0
    }
}
