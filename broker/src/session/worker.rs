//! The things that the sessions of one worker thread share.

use std::rc::Rc;
use std::sync::Arc;

use crate::registry::Shard;

use super::heartbeat::Heartbeat;
use super::index::SessionIndex;
use super::services::Services;

/// The things that the sessions of one worker thread share.
#[derive(Clone)]
pub struct Worker {
    /// The services that all threads share.
    pub services: Arc<Services>,
    /// The thread's subscriptions.
    pub shard: Rc<Shard>,
    /// The thread's heartbeat.
    pub heartbeat: Rc<Heartbeat>,
    /// The thread's sessions.
    pub sessions: Rc<SessionIndex>,
}
