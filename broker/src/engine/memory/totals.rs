//! What all channels hold together, for the metrics only: nothing is decided by it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::channel::Channel;
use crate::memory_budget::{self, Part};

/// What a channel holds, as the totals know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Holdings {
    messages: u64,
    members: u64,
    member_bytes: u64,
}

impl Holdings {
    pub(super) fn of(channel: &Channel) -> Self {
        Self {
            messages: channel.held_messages() as u64,
            members: channel.held_members() as u64,
            member_bytes: channel.member_bytes(),
        }
    }
}

/// Sums over all channels.
#[derive(Debug, Default)]
pub(super) struct Totals {
    messages: AtomicU64,
    members: AtomicU64,
    evicted_bytes: AtomicU64,
}

impl Totals {
    /// A channel held `before`, and now holds `after`.
    pub(super) fn replace(&self, before: Holdings, after: Holdings) {
        change(&self.messages, before.messages, after.messages);
        change(&self.members, before.members, after.members);
        if before.member_bytes != after.member_bytes {
            memory_budget::add(
                Part::Presence,
                after.member_bytes.cast_signed() - before.member_bytes.cast_signed(),
            );
        }
    }

    /// So many bytes had to go early.
    pub(super) fn evicted(&self, bytes: u64) {
        self.evicted_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    pub(super) fn members(&self) -> u64 {
        self.members.load(Ordering::Relaxed)
    }

    pub(super) fn evicted_bytes(&self) -> u64 {
        self.evicted_bytes.load(Ordering::Relaxed)
    }
}

/// A full history takes in a message and drops one: then nothing is written, and the counter's cache line stays where it is.
fn change(total: &AtomicU64, before: u64, after: u64) {
    if after != before {
        // Wrapping: a decrease is the addition of its complement.
        total.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}
