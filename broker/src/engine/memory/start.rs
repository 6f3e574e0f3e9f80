//! Where a channel begins that the engine does not hold.

use widecast_protocol::{ChannelName, Epoch, Offset, Position};

use crate::history::HistoryLimits;

/// The state with which a channel begins.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct ChannelStart {
    /// Its newest message, which the engine does not hold.
    pub(in crate::engine) position: Position,
    /// The newest message's timestamp.
    pub(in crate::engine) timestamp_ms: u64,
    /// How much history it keeps, until somebody says more.
    pub(in crate::engine) limits: HistoryLimits,
}

/// Gives the state with which a channel begins. It is called under the channel's entry.
pub(in crate::engine) type Beginnings = Box<dyn Fn(&ChannelName) -> ChannelStart + Send + Sync>;

impl ChannelStart {
    /// A channel that nobody has used before.
    pub(in crate::engine) fn anew() -> Self {
        Self {
            position: Position {
                epoch: Epoch(rand::random()),
                offset: Offset(0),
            },
            timestamp_ms: 0,
            limits: HistoryLimits::default(),
        }
    }
}
