//! The channels of which something is about to be written: their records as they will be, and the messages that are not on the disk
//! yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::quality::RandomState;
use widecast_protocol::{ChannelName, IdempotencyKey, Message, Offset, Position, record};

use super::channel_record::ChannelRecord;
use super::shared::Shared;
use super::store::Store;
use super::store_batch::StoreBatch;
use super::upkeep::is_over;
use super::used_key::UsedKey;
use super::view::Direction;
use crate::engine::{EngineError, HistoryLimits, Publication};

/// How many sizes of one channel are remembered or read at once, and how many bytes are read for them.
const SIZES: usize = 1024;
const READ_BYTES: usize = 1 << 20;
/// How many channels are remembered.
const REMEMBERED: usize = 4096;

/// A publication that has its place.
pub(super) enum Planned {
    /// It has been published before.
    Duplicate(Position),
    /// A new message.
    New {
        message: Message,
        limits: HistoryLimits,
    },
}

/// A channel of which something is about to be written.
struct OpenChannel {
    before: ChannelRecord,
    record: ChannelRecord,
    /// The messages that are not on the disk yet; the last has the newest offset.
    added: VecDeque<Vec<u8>>,
    /// The idempotency keys of these.
    keys: HashMap<String, Offset>,
}

/// The sizes of a channel's oldest messages on the disk.
#[derive(Default)]
struct Sizes {
    first: Offset,
    sizes: VecDeque<u32>,
}

/// What is remembered of a channel from one batch to the next.
#[derive(Default)]
struct Remembered {
    /// As the disk has it, unless somebody else may have changed it.
    record: Option<ChannelRecord>,
    sizes: Sizes,
}

/// What the writer remembers of channels.
#[derive(Default)]
pub(super) struct ChannelCache(HashMap<ChannelName, Remembered, RandomState>);

/// The channels of one batch.
#[derive(Default)]
pub(super) struct OpenChannels(HashMap<ChannelName, OpenChannel, RandomState>);

impl OpenChannels {
    /// The names of the channels.
    pub(super) fn names(&self) -> impl Iterator<Item = &ChannelName> {
        self.0.keys()
    }

    /// Gives a publication its place behind all before it.
    ///
    /// # Errors
    /// When the disk cannot be read, or does not agree with the memory.
    pub(super) fn plan(
        &mut self,
        shared: &Shared,
        cache: &ChannelCache,
        batch: &mut StoreBatch<'_>,
        mut publication: Publication,
    ) -> Result<Planned, EngineError> {
        let (name, store) = (publication.channel.clone(), batch.store);
        if !self.0.contains_key(&name) {
            let known = cache.record(&name);
            self.open(shared, store, &name, known)?;
        }
        let Some(channel) = self.0.get_mut(&name) else {
            return Err(EngineError::unavailable("the channel has been closed"));
        };
        let record = &mut channel.record;
        if let Some(key) = &publication.idempotency_key {
            let epoch = record.epoch;
            let here = channel.keys.get(key.as_str()).copied();
            if let Some(offset) = here.or(used_before(shared, store, &name, key)?) {
                return Ok(Planned::Duplicate(Position { epoch, offset }));
            }
        }
        let now_ms = shared.clock.wall_ms();
        record.newest = record.newest.next();
        record.timestamp_ms = record.timestamp_ms.max(now_ms);
        record.written_ms = now_ms;
        record.limits = publication.history;
        let (key, limits) = (publication.idempotency_key.take(), publication.history);
        let message = publication.at(record.position(), record.timestamp_ms);
        let bytes = record::encode(&message, key.as_ref());
        record.bytes += bytes.len() as u64;
        channel.added.push_back(bytes);
        if let Some(key) = &key {
            let used = UsedKey {
                offset: message.offset,
                used_ms: now_ms,
            };
            batch.add_key(&name, key.as_str(), used);
            channel.keys.insert(key.as_str().to_owned(), message.offset);
        }
        Ok(Planned::New { message, limits })
    }

    fn open(
        &mut self,
        shared: &Shared,
        store: &Store,
        name: &ChannelName,
        known: Option<ChannelRecord>,
    ) -> Result<(), EngineError> {
        let end = if let Some(end) = shared.memory.pin_held(name) {
            end
        } else {
            shared.hold(name)?;
            shared.memory.pin(name)
        };
        // The memory has been told of all that the disk has.
        let known = known.filter(|record| record.position() == end.position);
        let record = known.map_or_else(|| store.channel(name), |record| Ok(Some(record)));
        let record = match record.inspect_err(|_| shared.memory.unpin(name))? {
            Some(record) => record,
            None => ChannelRecord {
                oldest: end.position.offset.next(),
                newest: end.position.offset,
                timestamp_ms: end.timestamp_ms,
                ..ChannelRecord::new(end.position.epoch, 0)
            },
        };
        if record.position() != end.position {
            shared.memory.unpin(name);
            return Err(EngineError::Corrupt {
                expected: "the place of the channel's newest message",
            });
        }
        let channel = OpenChannel {
            before: record,
            record,
            added: VecDeque::new(),
            keys: HashMap::new(),
        };
        self.0.insert(name.clone(), channel);
        Ok(())
    }

    /// Puts everything into the batch: the messages that the limits allow, and the removal of those that they no longer do.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn finish(
        &mut self,
        store: &Arc<Store>,
        cache: &mut ChannelCache,
        batch: &mut StoreBatch<'_>,
    ) -> Result<(), EngineError> {
        for (name, channel) in &mut self.0 {
            let sizes = &mut cache.of(name).sizes;
            if channel.before.messages() == 0 {
                // It may have begun anew, with other messages at the same places.
                *sizes = Sizes::default();
            }
            channel.trim(name, store, sizes, batch)?;
            let mut offset = channel.first_added();
            for bytes in std::mem::take(&mut channel.added) {
                sizes.add(offset, bytes.len());
                batch.add_message(name, offset, bytes);
                offset = offset.next();
            }
            batch.set_channel(name, &channel.record);
        }
        Ok(())
    }

    /// The batch has been written.
    pub(super) fn settle(&self, shared: &Shared, cache: &mut ChannelCache) {
        for (name, channel) in &self.0 {
            shared.count(&channel.before, &channel.record);
            cache.of(name).record = Some(channel.record);
        }
    }
}

/// The message that was published with an idempotency key within the window, if there is one.
fn used_before(
    shared: &Shared,
    store: &Store,
    name: &ChannelName,
    key: &IdempotencyKey,
) -> Result<Option<Offset>, EngineError> {
    let (now_ms, window) = (
        shared.clock.wall_ms(),
        shared.settings.memory.idempotency_window,
    );
    let used = store.key(name, key.as_str())?;
    let used = used.filter(|used| !is_over(used.used_ms, window, now_ms));
    Ok(used.map(|used| used.offset))
}

impl OpenChannel {
    /// The oldest message that is not on the disk yet.
    fn first_added(&self) -> Offset {
        Offset(self.record.newest.0 + 1 - self.added.len() as u64)
    }

    fn is_beyond_limits(&self) -> bool {
        let (record, limits) = (&self.record, self.record.limits);
        record.messages() > 0
            && (record.messages() > limits.messages as u64
                || record.bytes > limits.bytes
                || limits.age.is_zero())
    }

    fn trim(
        &mut self,
        name: &ChannelName,
        store: &Arc<Store>,
        sizes: &mut Sizes,
        batch: &mut StoreBatch<'_>,
    ) -> Result<(), EngineError> {
        while self.is_beyond_limits() {
            let oldest = self.record.oldest;
            let size = if oldest < self.first_added() {
                batch.remove_message(name, oldest);
                sizes.take(oldest, name, store)?
            } else {
                self.added.pop_front().map_or(0, |bytes| bytes.len() as u64)
            };
            self.record.bytes = self.record.bytes.saturating_sub(size);
            self.record.oldest = oldest.next();
        }
        Ok(())
    }
}

impl ChannelCache {
    fn record(&self, name: &ChannelName) -> Option<ChannelRecord> {
        self.0.get(name).and_then(|remembered| remembered.record)
    }

    fn of(&mut self, name: &ChannelName) -> &mut Remembered {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(name) {
            self.0.clear();
        }
        self.0.entry(name.clone()).or_default()
    }

    /// Others may have changed the records of channels: they have to be read.
    pub(super) fn forget_records(&mut self) {
        for remembered in self.0.values_mut() {
            remembered.record = None;
        }
    }
}

impl Sizes {
    /// A message of this size has been added to the channel.
    fn add(&mut self, offset: Offset, size: usize) {
        if self.sizes.is_empty() {
            self.first = offset;
        }
        let is_next = self.first.0 + self.sizes.len() as u64 == offset.0;
        if is_next && self.sizes.len() < SIZES {
            self.sizes
                .push_back(u32::try_from(size).unwrap_or(u32::MAX));
        }
    }

    /// The size of the channel's oldest message, which is removed.
    fn take(
        &mut self,
        oldest: Offset,
        name: &ChannelName,
        store: &Arc<Store>,
    ) -> Result<u64, EngineError> {
        if self.sizes.is_empty() || self.first != oldest {
            self.read(oldest, name, store)?;
        }
        self.first = oldest.next();
        Ok(self.sizes.pop_front().map_or(0, u64::from))
    }

    fn read(
        &mut self,
        oldest: Offset,
        name: &ChannelName,
        store: &Arc<Store>,
    ) -> Result<(), EngineError> {
        self.first = oldest;
        self.sizes.clear();
        let sizes = &mut self.sizes;
        let last = Offset(oldest.0 + SIZES as u64 - 1);
        let (view, mut read) = (store.view(), 0);
        view.messages(name, oldest..=last, Direction::Forward, |offset, bytes| {
            // One that is missing takes nothing.
            while oldest.0 + (sizes.len() as u64) < offset.0 {
                sizes.push_back(0);
            }
            sizes.push_back(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            read += bytes.len();
            Ok(read < READ_BYTES)
        })
    }
}
