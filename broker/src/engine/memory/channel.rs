//! One channel of the memory engine: its offsets, history, idempotency keys and members. Called under its lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use widecast_protocol::{EncodedMessage, Epoch, Message, Offset, Position};

use super::idempotency::RecentKeys;
use super::schedule::Upkeep;
use super::settings::MemorySettings;
use super::start::ChannelStart;
use crate::engine::Deliver;
use crate::engine::publication::{Publication, Published};
use crate::engine::reading::ChannelInfo;
use crate::history::{History, HistoryLimits, HistoryView};
use crate::presence::{
    ConnectionId, MemberList, MemberQuery, NumberedChange, PresenceChange, PresenceEntry, Roster,
};

/// Later than any broker runs: a duration from the configuration may be too long to be added to a time.
const FOREVER: Duration = Duration::from_hours(24 * 365 * 100);

fn later(start: Instant, duration: Duration) -> Instant {
    start + duration.min(FOREVER)
}

/// About what a channel takes that holds anything, beside what it holds (measured): without it, a channel with one small
/// message would count for less than half of its memory.
const OVERHEAD_BYTES: u64 = 640;

/// The life of a channel, from when it was first named until it is forgotten.
#[derive(Debug)]
pub(super) struct Channel {
    epoch: Epoch,
    history: History<Arc<EncodedMessage>>,
    /// As they came with the last call that brings them: they are the namespace's.
    limits: HistoryLimits,
    /// The newest message's timestamp: the next is not earlier, even when the clock is set back.
    timestamp_ms: u64,
    /// Boxed, like the roster: most channels have none, and there may be very many channels.
    keys: Option<Box<RecentKeys>>,
    roster: Option<Box<Roster>>,
    /// How often somebody has come, gone or changed.
    presence_changes: u64,
    /// Whether somebody on this node hears it.
    has_interest: bool,
    /// Whether somebody relies on its not being forgotten.
    is_pinned: bool,
    last_used: Instant,
}

/// When a message comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) now: Instant,
    pub(super) wall_ms: u64,
}

impl Channel {
    pub(super) fn new(start: ChannelStart, now: Instant) -> Self {
        Self {
            epoch: start.position.epoch,
            history: History::starting_at(start.position.offset),
            limits: start.limits,
            timestamp_ms: start.timestamp_ms,
            keys: None,
            roster: None,
            presence_changes: 0,
            has_interest: false,
            is_pinned: false,
            last_used: now,
        }
    }

    /// The channel was used: it is remembered for longer.
    pub(super) fn touch(&mut self, now: Instant) {
        self.last_used = now;
    }

    pub(super) fn position(&self) -> Position {
        self.place(self.history.newest())
    }

    pub(super) fn place(&self, offset: Offset) -> Position {
        Position {
            epoch: self.epoch,
            offset,
        }
    }

    /// The messages that can be read now.
    pub(super) fn readable(&self, now: Instant) -> HistoryView<'_, Arc<EncodedMessage>> {
        self.history.as_of(now, self.limits.age)
    }

    pub(super) fn set_limits(&mut self, limits: HistoryLimits) {
        self.limits = limits;
    }

    /// Gives the message its place, keeps it and hands it over; unless it is a repetition.
    pub(super) fn publish(
        &mut self,
        mut publication: Publication,
        stamp: Stamp,
        settings: &MemorySettings,
        deliver: &dyn Deliver,
    ) -> Published {
        if let Some(first) = self.first_use(&publication, stamp.now, settings) {
            return Published {
                position: self.place(first),
                duplicate: true,
                subscribers: 0,
            };
        }
        let position = self.place(self.history.newest().next());
        if let Some(key) = publication.idempotency_key.take() {
            let keys = self.keys.get_or_insert_default();
            let most = settings.idempotency_keys;
            keys.remember(key, position.offset, stamp.now, most);
            self.release_keys();
        }
        let limits = publication.history;
        let message = publication.at(position, self.timestamp_ms.max(stamp.wall_ms));
        Published {
            position,
            duplicate: false,
            subscribers: self.append(message, limits, stamp.now, deliver),
        }
    }

    /// Keeps a message that has the next place, and hands it over. Returns to how many subscribers.
    pub(super) fn append(
        &mut self,
        message: Message,
        limits: HistoryLimits,
        now: Instant,
        deliver: &dyn Deliver,
    ) -> u64 {
        debug_assert_eq!(message.offset, self.history.newest().next());
        self.limits = limits;
        self.timestamp_ms = message.timestamp_ms;
        let message = Arc::new(EncodedMessage::new(message));
        let weight = message.weight_bytes() as u64;
        // Kept before it is handed over: should a subscriber's code panic, the place is taken all the same.
        let kept = Arc::clone(&message);
        self.history.append(kept, weight, now, self.limits);
        deliver.deliver(message)
    }

    fn first_use(
        &mut self,
        publication: &Publication,
        now: Instant,
        settings: &MemorySettings,
    ) -> Option<Offset> {
        let key = publication.idempotency_key.as_ref()?;
        let keys = self.keys.as_mut()?;
        keys.find(key, now, settings.idempotency_window)
    }

    pub(super) fn enter(&mut self, entry: PresenceEntry, now: Instant) -> Option<NumberedChange> {
        let change = self.roster.get_or_insert_default().enter(entry, now)?;
        Some(self.numbered(change))
    }

    fn numbered(&mut self, change: PresenceChange) -> NumberedChange {
        self.presence_changes += 1;
        NumberedChange {
            number: self.presence_changes,
            change,
        }
    }

    pub(super) fn exit(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(roster) = &mut self.roster {
            roster.exit(connection, now);
        }
    }

    /// Removes one member whose grace time is over.
    pub(super) fn expire_member(
        &mut self,
        now: Instant,
        grace: Duration,
    ) -> Option<NumberedChange> {
        let change = self.roster.as_mut()?.expire(now, grace);
        if self.roster.as_ref().is_some_and(|roster| roster.is_empty()) {
            self.roster = None;
        }
        Some(self.numbered(change?))
    }

    pub(super) fn members(&self, query: &MemberQuery) -> MemberList {
        let list = self.roster.as_ref().map(|roster| roster.page(query));
        MemberList {
            list: list.unwrap_or_default(),
            changes: self.presence_changes,
        }
    }

    /// Somebody on this node hears the channel, or nobody does any more.
    pub(super) fn set_interest(&mut self, has_interest: bool) {
        self.has_interest = has_interest;
    }

    /// From now on the channel is not forgotten, or is again when it is not in use.
    pub(super) fn pin(&mut self, is_pinned: bool) {
        self.is_pinned = is_pinned;
    }

    /// The newest message's timestamp.
    pub(super) fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    pub(super) fn info(&self, now: Instant) -> ChannelInfo {
        let readable = self.readable(now);
        ChannelInfo {
            position: self.position(),
            history_messages: readable.len() as u64,
            history_bytes: readable.bytes(),
            members: self.held_members() as u64,
        }
    }

    /// How many messages the history holds, expired ones that nobody has looked at included.
    pub(super) fn held_messages(&self) -> usize {
        self.history.len()
    }

    /// How many members are here.
    pub(super) fn held_members(&self) -> usize {
        self.roster.as_ref().map_or(0, |roster| roster.len())
    }

    /// About how many bytes they take.
    pub(super) fn member_bytes(&self) -> u64 {
        self.roster.as_ref().map_or(0, |roster| roster.bytes())
    }

    /// Whether anything would be lost if the channel were forgotten, other than its epoch.
    pub(super) fn in_use(&self) -> bool {
        self.has_interest
            || self.is_pinned
            || self.roster.is_some()
            || self.keys.is_some()
            || !self.history.is_empty()
    }

    /// About how many bytes the channel takes because of its history and its keys.
    pub(super) fn bytes(&self) -> u64 {
        let keys = self.keys.as_ref().map_or(0, |keys| keys.bytes());
        if self.history.is_empty() && keys == 0 {
            return 0;
        }
        OVERHEAD_BYTES + self.history.bytes() + keys
    }

    /// When the channel has to be looked at next for one kind of upkeep.
    pub(super) fn next_look(
        &mut self,
        upkeep: Upkeep,
        settings: &MemorySettings,
    ) -> Option<Instant> {
        match upkeep {
            Upkeep::Presence => {
                let gone_since = self.roster.as_mut()?.gone_since()?;
                Some(later(gone_since, settings.presence_grace))
            }
            Upkeep::Expiry => {
                let message = self.history.oldest_stored_at();
                let message = message.map(|at| later(at, self.limits.age));
                let key = self.oldest_key_at();
                let key = key.map(|at| later(at, settings.idempotency_window));
                earlier(message, key)
            }
            Upkeep::Eviction => self.oldest_at(),
            Upkeep::Idle => {
                let grace = settings.idle_grace.max(self.limits.age);
                (!self.in_use()).then(|| later(self.last_used, grace))
            }
        }
    }

    /// When the oldest message or key came.
    pub(super) fn oldest_at(&self) -> Option<Instant> {
        earlier(self.history.oldest_stored_at(), self.oldest_key_at())
    }

    fn oldest_key_at(&self) -> Option<Instant> {
        self.keys.as_ref()?.oldest_at()
    }

    /// Drops messages and keys that have expired; more at the next look, if there are very many.
    pub(super) fn expire(&mut self, now: Instant, settings: &MemorySettings) {
        self.history.trim(now, self.limits);
        if let Some(keys) = &mut self.keys {
            keys.expire(now, settings.idempotency_window);
        }
        self.release_keys();
    }

    /// Drops the oldest message or key.
    pub(super) fn drop_oldest(&mut self) {
        let oldest = self.oldest_at();
        if self.history.oldest_stored_at() == oldest {
            self.history.drop_oldest();
        } else if let Some(keys) = &mut self.keys {
            keys.drop_oldest();
        }
        self.release_keys();
    }

    fn release_keys(&mut self) {
        if self.keys.as_ref().is_some_and(|keys| keys.is_empty()) {
            self.keys = None;
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
