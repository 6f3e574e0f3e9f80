//! What the nodes of a [`FlakyEngine`] share: a memory engine that hands what it has ordered to all of them.

use std::sync::{Arc, Mutex};

use widecast_protocol::{ChannelName, EncodedMessage};

use super::{FlakyDelivery, FlakyEngine};
use crate::engine::{Clock, Deliver, MemoryEngine, MemorySettings, NumberedChange};

/// A store without faults, for one node or several.
pub(crate) struct FlakyStore {
    pub(crate) memory: MemoryEngine,
    ways: Arc<Ways>,
}

/// The ways to all nodes.
#[derive(Default)]
struct Ways(Mutex<Vec<Arc<FlakyDelivery>>>);

impl FlakyStore {
    /// A store without nodes.
    pub(crate) fn new(settings: MemorySettings, clock: Arc<dyn Clock>) -> Arc<Self> {
        let ways = Arc::new(Ways::default());
        let deliver = Arc::clone(&ways) as Arc<dyn Deliver>;
        Arc::new(Self {
            memory: MemoryEngine::new(settings, clock, deliver),
            ways,
        })
    }

    /// One node more, without faults.
    pub(crate) fn node(self: &Arc<Self>, deliver: Arc<dyn Deliver>) -> FlakyEngine {
        let delivery = Arc::new(FlakyDelivery::to(deliver));
        self.ways.0.lock().unwrap().push(Arc::clone(&delivery));
        FlakyEngine::new(Arc::clone(self), delivery)
    }

    /// Whether a channel is heard at any node.
    pub(super) fn is_heard(&self, channel: &ChannelName) -> bool {
        let ways = self.ways.0.lock().unwrap();
        ways.iter().any(|way| way.hears(channel))
    }
}

impl Deliver for Ways {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        let ways = self.0.lock().unwrap();
        let subscribers = ways.iter().map(|way| way.deliver(Arc::clone(&message)));
        subscribers.sum()
    }

    fn presence(&self, channel: &ChannelName, change: NumberedChange) {
        for way in &*self.0.lock().unwrap() {
            way.presence(channel, change.clone());
        }
    }

    fn lost(&self, channel: &ChannelName) {
        for way in &*self.0.lock().unwrap() {
            way.lost(channel);
        }
    }
}
