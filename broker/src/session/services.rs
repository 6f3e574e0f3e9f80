//! What every handler and session works with, made once by the composition root.

use std::sync::Arc;

use tokio::sync::watch;
use widecast_protocol::ChannelName;

use crate::config::Config;
use crate::engine::{Engine, HistoryLimits};
use crate::metrics::Metrics;
use crate::registry::Routes;

use super::directory::Directory;

/// More than what a message takes besides its data: one of as many bytes as a history may have still fits.
const MESSAGE_OVERHEAD_BYTES: u64 = 4096;

/// The parts of the broker that serve clients.
pub struct Services {
    /// The settings.
    pub config: Arc<Config>,
    /// Offsets, history and presence.
    pub engine: Arc<dyn Engine>,
    /// What the broker counts about itself.
    pub metrics: Arc<Metrics>,
    /// Which shards have subscribers of a channel.
    pub routes: Arc<Routes>,
    /// The sessions that can be reached by name.
    pub sessions: Directory,
    draining: watch::Sender<bool>,
}

impl Services {
    /// The services of a broker that is starting.
    pub fn new(
        config: Arc<Config>,
        engine: Arc<dyn Engine>,
        metrics: Arc<Metrics>,
        routes: Arc<Routes>,
    ) -> Self {
        Self {
            config,
            engine,
            metrics,
            routes,
            sessions: Directory::default(),
            draining: watch::Sender::new(false),
        }
    }

    /// How much history a channel keeps.
    pub fn history_limits(&self, channel: &ChannelName) -> HistoryLimits {
        let rules = self.config.namespace(channel);
        HistoryLimits {
            messages: rules.history_messages,
            bytes: match rules.history_bytes.get() {
                0 => 0,
                bytes => bytes + MESSAGE_OVERHEAD_BYTES,
            },
            age: rules.history_age,
        }
    }

    /// From now on the broker is not ready for new clients.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether the broker is taking leave of its clients.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Waits until the broker takes leave of its clients.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn leave_begins(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // The sender is gone only when the broker is.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }
}
