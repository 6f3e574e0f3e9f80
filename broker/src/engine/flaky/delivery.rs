//! What becomes of messages on their way from the store to a node: what a pub/sub of the network may do with them, and no more.
//!
//! The messages of a channel that arrive for the first time do so in their order: an engine owes that. So a message that is delayed
//! delays those behind it in its channel, and only repetitions come behind newer ones.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use widecast_protocol::{ChannelName, EncodedMessage};

use crate::engine::{Deliver, NumberedChange};

/// What becomes of a message on its way to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It arrives.
    Arrives,
    /// It does not. The node is told that something is lost at [`FlakyDelivery::settle`], and not before.
    IsLost,
    /// It arrives twice at once.
    IsDoubled,
    /// It arrives, and once more at [`FlakyDelivery::settle`], behind newer ones.
    IsRepeated,
    /// It arrives at [`FlakyDelivery::settle`].
    IsDelayed,
}

/// The passage of each message.
type Passages = Box<dyn FnMut(&EncodedMessage) -> Passage + Send>;

/// The way to one node.
pub(crate) struct FlakyDelivery {
    node: Arc<dyn Deliver>,
    way: Mutex<Way>,
}

struct Way {
    passages: Passages,
    /// The channels that somebody hears at the node.
    heard: BTreeSet<ChannelName>,
    delayed: VecDeque<Arc<EncodedMessage>>,
    repeated: Vec<Arc<EncodedMessage>>,
    lost: BTreeSet<ChannelName>,
    /// To how many subscribers the newest message was handed.
    subscribers: u64,
}

impl FlakyDelivery {
    /// The way to this node, on which everything arrives.
    pub(super) fn to(node: Arc<dyn Deliver>) -> Self {
        let way = Way {
            passages: Box::new(|_| Passage::Arrives),
            heard: BTreeSet::new(),
            delayed: VecDeque::new(),
            repeated: Vec::new(),
            lost: BTreeSet::new(),
            subscribers: 0,
        };
        Self {
            node,
            way: Mutex::new(way),
        }
    }

    /// From now on messages have these passages.
    pub(crate) fn set_passages(
        &self,
        passages: impl FnMut(&EncodedMessage) -> Passage + Send + 'static,
    ) {
        self.way.lock().unwrap().passages = Box::new(passages);
    }

    /// What was delayed arrives, then the node is told of which channels something is lost, and then repetitions come.
    pub(crate) fn settle(&self) {
        let mut way = self.way.lock().unwrap();
        for message in std::mem::take(&mut way.delayed) {
            self.node.deliver(message);
        }
        for channel in std::mem::take(&mut way.lost) {
            self.node.lost(&channel);
        }
        for message in std::mem::take(&mut way.repeated) {
            self.node.deliver(message);
        }
    }

    /// Whether somebody hears the channel at the node.
    pub(super) fn hears(&self, channel: &ChannelName) -> bool {
        self.way.lock().unwrap().heard.contains(channel)
    }

    pub(super) fn set_heard(&self, channel: &ChannelName, is_heard: bool) {
        let heard = &mut self.way.lock().unwrap().heard;
        if is_heard {
            heard.insert(channel.clone());
        } else {
            heard.remove(channel);
        }
    }

    /// To how many subscribers of the node the newest message was handed.
    pub(super) fn subscribers(&self) -> u64 {
        self.way.lock().unwrap().subscribers
    }
}

impl Way {
    /// Whether a message of this channel is on its way still.
    fn is_delayed(&self, channel: &ChannelName) -> bool {
        let mut delayed = self.delayed.iter();
        delayed.any(|message| message.message().channel == *channel)
    }
}

impl Deliver for FlakyDelivery {
    fn deliver(&self, message: Arc<EncodedMessage>) -> u64 {
        let mut way = self.way.lock().unwrap();
        way.subscribers = 0;
        let channel = &message.message().channel;
        if !way.heard.contains(channel) {
            return 0;
        }
        let passage = (way.passages)(&message);
        let is_behind = way.is_delayed(channel);
        match passage {
            Passage::IsLost => {
                way.lost.insert(channel.clone());
                return 0;
            }
            Passage::IsDelayed => {
                way.delayed.push_back(message);
                return 0;
            }
            Passage::IsRepeated => way.repeated.push(Arc::clone(&message)),
            Passage::IsDoubled if is_behind => way.delayed.push_back(Arc::clone(&message)),
            Passage::IsDoubled => {
                self.node.deliver(Arc::clone(&message));
            }
            Passage::Arrives => {}
        }
        if is_behind {
            way.delayed.push_back(message);
        } else {
            way.subscribers = self.node.deliver(message);
        }
        way.subscribers
    }

    fn presence(&self, channel: &ChannelName, change: NumberedChange) {
        if self.hears(channel) {
            self.node.presence(channel, change);
        }
    }

    fn lost(&self, channel: &ChannelName) {
        self.node.lost(channel);
    }
}
