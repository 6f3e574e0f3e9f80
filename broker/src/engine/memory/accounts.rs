//! What the engine knows about all channels together, kept true by reconciling them with each channel after every change.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use widecast_protocol::ChannelName;

use super::budget::Budget;
use super::channel::Channel;
use super::channel_index::ChannelIndex;
use super::schedule::{Due, PerUpkeep, Schedule, Upkeep};
use super::settings::MemorySettings;
use super::totals::{Holdings, Totals};

/// A channel that expires one message after the other is looked at no more often than this.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);

/// A channel, and what the accounts say about it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) channel: Channel,
    pub(super) bytes: u64,
    pub(super) holdings: Holdings,
    pub(super) in_use: bool,
    pub(super) scheduled: PerUpkeep<Option<Instant>>,
}

/// The sums and indexes over all channels. All its locks are leaves, taken under one channel's lock.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) budget: Budget,
    pub(super) schedule: Schedule,
    pub(super) channel_index: ChannelIndex,
    pub(super) totals: Totals,
    /// How many channels are remembered but not in use.
    idle: AtomicUsize,
}

impl Accounts {
    pub(super) fn new(settings: &MemorySettings) -> Self {
        Self {
            budget: Budget::new(settings.history_bytes),
            schedule: Schedule::default(),
            channel_index: ChannelIndex::default(),
            totals: Totals::default(),
            idle: AtomicUsize::new(0),
        }
    }

    /// A channel that was not known. The accounts have to be reconciled with it before its lock is released.
    pub(super) fn open(&self, channel: Channel) -> Slot {
        self.idle.fetch_add(1, Ordering::Relaxed);
        Slot {
            channel,
            bytes: 0,
            holdings: Holdings::default(),
            in_use: false,
            scheduled: PerUpkeep::default(),
        }
    }

    /// A channel is forgotten. It must not be in use.
    pub(super) fn close(&self, name: &ChannelName, slot: &mut Slot) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        for upkeep in Upkeep::ALL {
            self.cancel(upkeep, name, slot);
        }
    }

    /// Brings the accounts up to date with the channel. This is on the path of every publication: it compares, and does
    /// something only at a change.
    pub(super) fn reconcile(
        &self,
        name: &ChannelName,
        slot: &mut Slot,
        settings: &MemorySettings,
        now: Instant,
    ) {
        let bytes = slot.channel.bytes();
        self.budget.replace(slot.bytes, bytes);
        slot.bytes = bytes;
        let holdings = Holdings::of(&slot.channel);
        self.totals.replace(slot.holdings, holdings);
        slot.holdings = holdings;
        let in_use = slot.channel.in_use();
        if in_use != slot.in_use {
            slot.in_use = in_use;
            self.turn(name, in_use);
        }
        for upkeep in Upkeep::ALL {
            let made = slot.scheduled.get(upkeep).is_some();
            match slot.channel.next_look(upkeep, settings) {
                Some(at) if !made => {
                    let at = match upkeep {
                        Upkeep::Expiry if at > now => at.max(now + EXPIRY_PAUSE),
                        _ => at,
                    };
                    *slot.scheduled.get_mut(upkeep) = Some(at);
                    let channel = name.clone();
                    self.schedule.add(upkeep, Due { at, channel });
                }
                None if made => self.cancel(upkeep, name, slot),
                _ => {}
            }
        }
    }

    fn turn(&self, name: &ChannelName, in_use: bool) {
        if in_use {
            self.channel_index.add(name.clone());
            self.idle.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.channel_index.remove(name);
            self.idle.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cancel(&self, upkeep: Upkeep, name: &ChannelName, slot: &mut Slot) {
        if let Some(at) = slot.scheduled.get_mut(upkeep).take() {
            let channel = name.clone();
            self.schedule.cancel(upkeep, &Due { at, channel });
        }
    }

    /// Claims the upkeep that was taken from the schedule. This is false when the channel has been put on the schedule
    /// anew since then, between the taking and the channel's lock: then somebody else does it.
    pub(super) fn claim(&self, upkeep: Upkeep, taken: &Due, slot: &mut Slot) -> bool {
        if *slot.scheduled.get(upkeep) != Some(taken.at) {
            return false;
        }
        // It may have been cancelled and made again for the same time.
        self.cancel(upkeep, &taken.channel, slot);
        true
    }

    /// How many channels are remembered but not in use.
    pub(super) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }
}
