//! The memory engine as the newest part of an engine that keeps its messages elsewhere, too.

use widecast_protocol::{ChannelName, Message, Position};

use super::MemoryEngine;
use super::budget::Effort;
use crate::history::HistoryLimits;

/// Where a channel is, for whoever gives the next messages their places.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct ChannelEnd {
    pub(in crate::engine) position: Position,
    pub(in crate::engine) timestamp_ms: u64,
}

impl MemoryEngine {
    /// Whether the channel is held.
    pub(in crate::engine) fn knows(&self, channel: &ChannelName) -> bool {
        self.channels.contains_key(channel)
    }

    /// Finds out where the channel ends, and sees to it that it is not forgotten before [`MemoryEngine::unpin`].
    pub(in crate::engine) fn pin(&self, channel: &ChannelName) -> ChannelEnd {
        self.with(channel, |slot, _| {
            slot.channel.pin(true);
            ChannelEnd {
                position: slot.channel.position(),
                timestamp_ms: slot.channel.timestamp_ms(),
            }
        })
    }

    /// The same for a channel that is held; nothing when it is not.
    pub(in crate::engine) fn pin_held(&self, channel: &ChannelName) -> Option<ChannelEnd> {
        let mut slot = self.channels.get_mut(channel)?;
        slot.channel.pin(true);
        // Where it is in use anyway, the accounts need not hear of it.
        if !slot.in_use {
            self.change(channel, &mut slot, |_, _| ());
        }
        Some(ChannelEnd {
            position: slot.channel.position(),
            timestamp_ms: slot.channel.timestamp_ms(),
        })
    }

    /// The channel may be forgotten again.
    pub(in crate::engine) fn unpin(&self, channel: &ChannelName) {
        let Some(mut slot) = self.channels.get_mut(channel) else {
            return;
        };
        slot.channel.pin(false);
        if !slot.channel.in_use() {
            self.change(channel, &mut slot, |_, _| ());
        }
    }

    /// Keeps a message that has the next place of its channel, and hands it over. Returns to how many subscribers.
    pub(in crate::engine) fn append(&self, message: Message, limits: HistoryLimits) -> u64 {
        let name = message.channel.clone();
        let mut added = 0;
        let subscribers = self.with(&name, |slot, now| {
            let before = slot.channel.bytes();
            let deliver = &*self.deliver;
            let channel = &mut slot.channel;
            let subscribers = channel.append(message, limits, now, deliver);
            added = slot.channel.bytes().saturating_sub(before);
            subscribers
        });
        if self.accounts.budget.excess() > 0 {
            self.make_room(Effort::of_publisher(added));
        }
        subscribers
    }

    /// Holds the channel from now on.
    pub(in crate::engine) fn touch(&self, channel: &ChannelName) {
        self.with(channel, |_, _| ());
    }

    /// The place of the newest message.
    pub(in crate::engine) fn end(&self, channel: &ChannelName) -> Position {
        self.read(channel, |channel, _| channel.position())
    }
}
