//! What happens because time passes, or because the channels hold too much: members leave, messages expire or are
//! evicted, channels are forgotten.
//!
//! All of it goes by the schedule and in slices: the cost depends on what is due, not on how many channels there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::Entry;
use widecast_protocol::ChannelName;

use super::MemoryEngine;
use super::accounts::Slot;
use super::budget::Effort;
use super::channel::Channel;
use super::schedule::{Due, Upkeep};

/// How many channels a sweep looks at for one kind of upkeep: some 100 µs of work.
const SLICE: usize = 128;
/// How many members of one channel leave under one hold of its lock.
const LEAVES: usize = 64;
/// A channel that comes on top of the idle ones that may be remembered pushes this many out, so that their number falls
/// even when some were pushed in between.
const PUSHED_OUT: usize = 2;
/// The longest and shortest pause between two sweeps. The shortest leaves the worker to others when much is due at once.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

impl MemoryEngine {
    /// Sweeps whenever something is due, until the engine is dropped.
    pub fn run_upkeep(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let engine = Arc::downgrade(self);
        async move {
            while let Some(engine) = engine.upgrade() {
                let next = engine.sweep();
                let now = engine.clock.now();
                drop(engine);
                let pause = next.map(|at| at.saturating_duration_since(now));
                let pause = pause.unwrap_or(LONGEST_PAUSE);
                tokio::time::sleep(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
            }
        }
    }

    /// Does a slice of what is due. Returns when there is something to do next, as far as is known now: not later than
    /// now when the slice was too small.
    pub fn sweep(&self) -> Option<Instant> {
        let (schedule, now) = (&self.accounts.schedule, self.clock.now());
        let timed = [Upkeep::Presence, Upkeep::Expiry, Upkeep::Idle];
        for upkeep in timed {
            for _ in 0..SLICE {
                let Some(due) = schedule.take_due(upkeep, now) else {
                    break;
                };
                self.attend(upkeep, &due);
            }
        }
        self.make_room(Effort::SWEEP);
        if self.accounts.budget.excess() > 0 {
            return Some(now);
        }
        let next = timed.iter().filter_map(|&upkeep| schedule.first_at(upkeep));
        next.min()
    }

    fn attend(&self, upkeep: Upkeep, due: &Due) {
        match upkeep {
            Upkeep::Presence => self.visit(upkeep, due, |slot, now| {
                self.tell_leaves(&due.channel, slot, now);
            }),
            Upkeep::Expiry => self.visit(upkeep, due, |slot, now| {
                slot.channel.expire(now, &self.settings);
            }),
            Upkeep::Eviction => {}
            Upkeep::Idle => self.forget(due, Forget::WhenDue),
        }
    }

    /// Claims a channel that was due, changes it under its lock, and reconciles the accounts with it.
    fn visit(&self, upkeep: Upkeep, taken: &Due, act: impl FnOnce(&mut Slot, Instant)) {
        let Some(mut slot) = self.channels.get_mut(&taken.channel) else {
            return;
        };
        if self.accounts.claim(upkeep, taken, &mut slot) {
            let now = self.clock.now();
            act(&mut slot, now);
            self.accounts
                .reconcile(&taken.channel, &mut slot, &self.settings, now);
        }
    }

    /// Tells the leaves of members whose grace time is over; the rest at the next look, if there are very many.
    pub(super) fn tell_leaves(&self, name: &ChannelName, slot: &mut Slot, now: Instant) {
        for _ in 0..LEAVES {
            let grace = self.settings.presence_grace;
            let Some(change) = slot.channel.expire_member(now, grace) else {
                break;
            };
            self.deliver.presence(name, change);
        }
    }

    /// Drops the oldest of all messages and keys until the channels hold no more than they may, or the effort is spent.
    pub(super) fn make_room(&self, effort: Effort) {
        let (mut dropped, mut misses) = (0, 0);
        while dropped < effort.bytes && misses < effort.misses {
            let goal = self.accounts.budget.excess().min(effort.bytes - dropped);
            if goal == 0 {
                break;
            }
            let Some(oldest) = self.accounts.schedule.take_first(Upkeep::Eviction) else {
                break;
            };
            let next_oldest = self.accounts.schedule.first_at(Upkeep::Eviction);
            let before = dropped;
            self.visit(Upkeep::Eviction, &oldest, |slot, _| {
                dropped += evict(&mut slot.channel, goal, next_oldest);
            });
            misses += usize::from(dropped == before);
        }
        if dropped > 0 {
            self.accounts.totals.evicted(dropped);
        }
    }

    /// Forgets the least recently used of the idle channels, when there are more than may be remembered.
    pub(super) fn push_out_idle(&self) {
        for _ in 0..PUSHED_OUT {
            if self.accounts.idle() <= self.settings.idle_channels {
                break;
            }
            let Some(oldest) = self.accounts.schedule.take_first(Upkeep::Idle) else {
                break;
            };
            self.forget(&oldest, Forget::Now);
        }
    }

    fn forget(&self, taken: &Due, when: Forget) {
        let Entry::Occupied(mut entry) = self.channels.entry(taken.channel.clone()) else {
            return;
        };
        let slot = entry.get_mut();
        if !self.accounts.claim(Upkeep::Idle, taken, slot) {
            return;
        }
        let now = self.clock.now();
        // No look means that it is in use again.
        let end = slot.channel.next_look(Upkeep::Idle, &self.settings);
        if end.is_some_and(|end| end <= now || when == Forget::Now) {
            self.accounts.close(&taken.channel, slot);
            entry.remove();
        } else {
            self.accounts
                .reconcile(&taken.channel, slot, &self.settings, now);
        }
    }
}

/// When a channel is forgotten that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forget {
    /// After the whole grace time.
    WhenDue,
    /// At once: there are too many of them.
    Now,
}

/// Drops messages and keys of a channel until `goal` bytes are free, or until another channel has the oldest.
fn evict(channel: &mut Channel, goal: u64, next_oldest: Option<Instant>) -> u64 {
    let before = channel.bytes();
    loop {
        let dropped = before - channel.bytes();
        let is_oldest = channel
            .oldest_at()
            .is_some_and(|at| next_oldest.is_none_or(|next| at <= next));
        if dropped >= goal || !is_oldest {
            return dropped;
        }
        channel.drop_oldest();
    }
}
