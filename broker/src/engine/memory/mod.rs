//! The engine of one node: everything in memory, nothing survives the process.
//!
//! `DashMap` is the index: a channel's offset, history, idempotency keys and members live under its entry, and so does
//! the hand-over to [`Deliver`], so that every shard hears the channel in one order.
//!
//! Invariants:
//! - Under a channel's entry nothing is awaited and no other entry is taken. The locks of `accounts` are leaves below it.
//! - After every change under an entry that the accounts depend on, they are reconciled with the channel before the entry is released.
//! - Nothing on the path of a publication depends on how many channels there are, but for the depth of a tree.

mod accounts;
mod budget;
mod channel;
mod channel_index;
mod idempotency;
mod reader;
mod schedule;
mod settings;
mod start;
mod sweep;
mod tail;
#[cfg(test)]
mod tests;
mod totals;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use widecast_protocol::{ChannelName, Position};

use super::announcements::KeptAnnouncements;
use super::{
    Announcement, Announcements, ChannelInfo, ChannelQuery, Clock, ConnectionId, Deliver,
    Directory, EngineFigures, EngineFuture, HistoryLimits, HistoryPage, HistoryQuery, Interest,
    Lifecycle, MemberList, MemberQuery, MemberStore, MessageLog, Portion, PresenceEntry,
    Publication, Published, Replay,
};
use accounts::{Accounts, Slot};
use budget::Effort;
use channel::{Channel, Stamp};
pub use settings::MemorySettings;
pub(in crate::engine) use start::{Beginnings, ChannelStart};

/// More parts than there are cores, so that two channels seldom share a lock, and that a part is small when it grows.
const MAP_PARTS: usize = 256;

/// Keeps everything in memory.
pub struct MemoryEngine {
    /// Boxed, so that the table stays small when channels are forgotten.
    channels: DashMap<ChannelName, Box<Slot>>,
    accounts: Accounts,
    settings: MemorySettings,
    clock: Arc<dyn Clock>,
    deliver: Arc<dyn Deliver>,
    beginnings: Beginnings,
    announcements: KeptAnnouncements,
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl MemoryEngine {
    /// An engine without channels. Somebody has to run [`MemoryEngine::run_upkeep`], or nothing is ever forgotten.
    pub fn new(settings: MemorySettings, clock: Arc<dyn Clock>, deliver: Arc<dyn Deliver>) -> Self {
        let beginnings = Box::new(|_: &ChannelName| ChannelStart::anew());
        Self::beginning_with(settings, clock, deliver, beginnings)
    }

    /// An engine whose channels begin as `beginnings` says.
    pub(in crate::engine) fn beginning_with(
        settings: MemorySettings,
        clock: Arc<dyn Clock>,
        deliver: Arc<dyn Deliver>,
        beginnings: Beginnings,
    ) -> Self {
        Self {
            channels: DashMap::with_shard_amount(MAP_PARTS),
            accounts: Accounts::new(&settings),
            settings,
            clock,
            deliver,
            beginnings,
            announcements: KeptAnnouncements::default(),
        }
    }

    /// Changes a channel under its entry, and reconciles the accounts with it. A channel that nobody knew begins.
    fn with<T>(&self, name: &ChannelName, act: impl FnOnce(&mut Slot, Instant) -> T) -> T {
        if let Some(mut slot) = self.channels.get_mut(name) {
            return self.change(name, &mut slot, act);
        }
        let answer = {
            let slot = self.channels.entry(name.clone());
            let mut slot = slot.or_insert_with(|| {
                let now = self.clock.now();
                let channel = Channel::new((self.beginnings)(name), now);
                Box::new(self.accounts.open(channel))
            });
            self.change(name, &mut slot, act)
        };
        self.push_out_idle();
        answer
    }

    /// The same, but nothing happens when the channel does not exist.
    fn with_known<T>(
        &self,
        name: &ChannelName,
        act: impl FnOnce(&mut Slot, Instant) -> T,
    ) -> Option<T> {
        let mut slot = self.channels.get_mut(name)?;
        Some(self.change(name, &mut slot, act))
    }

    fn change<T>(
        &self,
        name: &ChannelName,
        slot: &mut Slot,
        act: impl FnOnce(&mut Slot, Instant) -> T,
    ) -> T {
        // Under the entry, so that a channel's times have the order of its messages.
        let now = self.clock.now();
        slot.channel.touch(now);
        let answer = act(slot, now);
        self.accounts.reconcile(name, slot, &self.settings, now);
        answer
    }

    /// Reads a channel; readers do not wait for one another.
    fn read<T>(&self, name: &ChannelName, look: impl Fn(&Channel, Instant) -> T) -> T {
        if let Some(slot) = self.channels.get(name) {
            return look(&slot.channel, self.clock.now());
        }
        self.with(name, |slot, now| look(&slot.channel, now))
    }

    fn publish_now(&self, publication: Publication) -> Published {
        let name = publication.channel.clone();
        let mut added = 0;
        let published = self.with(&name, |slot, now| {
            let wall_ms = self.clock.wall_ms();
            let stamp = Stamp { now, wall_ms };
            let before = slot.channel.bytes();
            let channel = &mut slot.channel;
            let published = channel.publish(publication, stamp, &self.settings, &*self.deliver);
            added = slot.channel.bytes().saturating_sub(before);
            published
        });
        if self.accounts.budget.excess() > 0 {
            self.make_room(Effort::of_publisher(added));
        }
        published
    }

    fn enter_now(&self, name: &ChannelName, entry: PresenceEntry) {
        self.with(name, |slot, now| {
            self.tell_leaves(name, slot, now);
            if let Some(change) = slot.channel.enter(entry, now) {
                self.deliver.presence(name, change);
            }
        });
    }

    fn exit_now(&self, name: &ChannelName, connection: ConnectionId) {
        self.with_known(name, |slot, now| {
            slot.channel.exit(connection, now);
            self.tell_leaves(name, slot, now);
        });
    }
}

impl MessageLog for MemoryEngine {
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Published> {
        Box::pin(async move { Ok(self.publish_now(publication)) })
    }

    fn position<'a>(
        &'a self,
        channel: &'a ChannelName,
        limits: HistoryLimits,
    ) -> EngineFuture<'a, Position> {
        Box::pin(async move {
            Ok(self.with(channel, |slot, _| {
                slot.channel.set_limits(limits);
                slot.channel.position()
            }))
        })
    }

    fn replay<'a>(
        &'a self,
        channel: &'a ChannelName,
        since: Position,
        portion: Portion,
    ) -> EngineFuture<'a, Replay> {
        Box::pin(async move {
            Ok(self.read(channel, |channel, now| {
                reader::replay(channel, since, portion, now)
            }))
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> EngineFuture<'a, HistoryPage> {
        Box::pin(
            async move { Ok(self.read(channel, |channel, now| reader::page(channel, query, now))) },
        )
    }
}

impl MemberStore for MemoryEngine {
    fn enter<'a>(&'a self, channel: &'a ChannelName, entry: PresenceEntry) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.enter_now(channel, entry);
            Ok(())
        })
    }

    fn exit<'a>(
        &'a self,
        channel: &'a ChannelName,
        connection: ConnectionId,
    ) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.exit_now(channel, connection);
            Ok(())
        })
    }

    fn members<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: &'a MemberQuery,
    ) -> EngineFuture<'a, MemberList> {
        Box::pin(async move {
            let slot = self.channels.get(channel);
            Ok(slot.map_or_else(MemberList::default, |slot| slot.channel.members(query)))
        })
    }
}

impl Interest for MemoryEngine {
    fn interested<'a>(&'a self, channel: &'a ChannelName) -> EngineFuture<'a, ()> {
        Box::pin(async move {
            self.with(channel, |slot, _| slot.channel.set_interest(true));
            Ok(())
        })
    }

    fn uninterested(&self, channel: &ChannelName) {
        self.with_known(channel, |slot, _| slot.channel.set_interest(false));
    }
}

impl Directory for MemoryEngine {
    fn channels(&self, query: ChannelQuery) -> EngineFuture<'_, Vec<ChannelName>> {
        Box::pin(async move { Ok(self.accounts.channel_index.page(&query)) })
    }

    fn channel_info<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> EngineFuture<'a, Option<ChannelInfo>> {
        Box::pin(async move {
            let slot = self.channels.get(channel);
            Ok(slot.map(|slot| slot.channel.info(self.clock.now())))
        })
    }
}

impl Announcements for MemoryEngine {
    fn lease(&self) -> Option<Duration> {
        None
    }

    fn announce(&self, announcement: Announcement, keep_for: Duration) -> EngineFuture<'_, ()> {
        Box::pin(async move {
            let now_ms = self.clock.wall_ms();
            self.announcements.keep(announcement, keep_for, now_ms);
            Ok(())
        })
    }

    fn announced(&self) -> EngineFuture<'_, Vec<Announcement>> {
        Box::pin(async move { Ok(self.announcements.all(self.clock.wall_ms())) })
    }
}

impl Lifecycle for MemoryEngine {
    fn figures(&self) -> EngineFigures {
        let totals = &self.accounts.totals;
        EngineFigures {
            channels: self.channels.len().saturating_sub(self.accounts.idle()) as u64,
            idle_channels: self.accounts.idle() as u64,
            history_messages: totals.messages(),
            history_bytes: self.accounts.budget.held(),
            evicted_bytes: totals.evicted_bytes(),
            members: totals.members(),
            ..EngineFigures::default()
        }
    }

    fn bound_history(&self, bytes: u64) {
        self.accounts.budget.set_limit(bytes);
    }

    fn health(&self) -> EngineFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self) -> EngineFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
