//! What happens because time passes, or because the disk holds too much: messages and idempotency keys are removed, channels are
//! forgotten. A slice at a time, from the first channel to the last and then from the beginning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use widecast_protocol::{ChannelName, Offset, record};

use super::announced;
use super::channel_record::ChannelRecord;
use super::shared::Shared;
use super::store::Store;
use super::store_batch::StoreBatch;
use super::view::{Direction, StoreView};
use crate::engine::EngineError;

/// How many channels and keys are read at once.
const SLICE: usize = 512;
/// How long a slice takes at the most, since publications wait meanwhile.
const SLICE_TIME: Duration = Duration::from_millis(5);
/// How many messages of one channel are removed at once.
const REMOVALS: u64 = 4096;
/// Which part of its messages a channel loses when the disk holds too much.
const PART: u64 = 8;

/// How far the thread has come with looking after the channels.
#[derive(Default)]
pub(super) struct Upkeep {
    last_run: Option<Instant>,
    channels: Round<ChannelName>,
    keys: Round<Vec<u8>>,
    crowded: Round<ChannelName>,
    announcements: Round<String>,
}

/// Where a round over everything goes on.
#[derive(Debug)]
struct Round<T>(Option<T>);

impl<T> Default for Round<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl Upkeep {
    /// Whether the next slice is due.
    pub(super) fn is_due(&mut self, interval: Duration) -> bool {
        let now = Instant::now();
        let is_due = self.last_run.is_none_or(|last| now >= last + interval);
        if is_due {
            self.last_run = Some(now);
        }
        is_due
    }

    /// Does the next slice.
    ///
    /// # Errors
    /// When the disk cannot be read or written.
    pub(super) fn run(&mut self, shared: &Shared, store: &Arc<Store>) -> Result<(), EngineError> {
        self.remove_keys(shared, store)?;
        let after = self.announcements.0.take();
        self.announcements.0 = announced::remove_ended(shared, store, after.as_deref())?;
        self.look_at_channels(shared, store)?;
        self.make_room(shared, store)
    }

    /// Does everything that is due.
    #[cfg(test)]
    pub(super) fn run_all(
        &mut self,
        shared: &Shared,
        store: &Arc<Store>,
    ) -> Result<(), EngineError> {
        *self = Self::default();
        loop {
            self.run(shared, store)?;
            if self.channels.0.is_none() && self.keys.0.is_none() {
                return Ok(());
            }
        }
    }

    fn remove_keys(&mut self, shared: &Shared, store: &Arc<Store>) -> Result<(), EngineError> {
        let (now_ms, window) = (
            shared.clock.wall_ms(),
            shared.settings.memory.idempotency_window,
        );
        let keys = store.keys_after(self.keys.0.as_deref().unwrap_or_default(), SLICE)?;
        self.keys.0 = (keys.len() == SLICE)
            .then(|| keys.last().map(|(place, _)| place.clone()))
            .flatten();
        let mut batch = store.batch_for_later();
        for (place, used) in keys {
            if is_over(used.used_ms, window, now_ms) {
                batch.remove_key(place);
            }
        }
        batch.commit()
    }

    fn look_at_channels(&mut self, shared: &Shared, store: &Arc<Store>) -> Result<(), EngineError> {
        let channels = store.channels_after(self.channels.0.as_ref(), SLICE)?;
        let (is_last_slice, began) = (channels.len() < SLICE, Instant::now());
        for (name, record) in channels {
            if began.elapsed() > SLICE_TIME {
                return Ok(());
            }
            if record.messages() > 0 {
                let expired = expired(shared, store, &name, &record)?;
                remove(shared, store, &name, record, expired.min(REMOVALS))?;
            } else {
                forget(shared, store, &name, &record)?;
            }
            self.channels.0 = Some(name);
        }
        if is_last_slice {
            self.channels.0 = None;
        }
        Ok(())
    }

    /// Lets every channel lose a part of its oldest messages in turn, until all of them together are within their bound.
    fn make_room(&mut self, shared: &Shared, store: &Arc<Store>) -> Result<(), EngineError> {
        let is_crowded = || shared.figures().disk_bytes > shared.settings.disk_bytes;
        if !is_crowded() {
            return Ok(());
        }
        let channels = store.channels_after(self.crowded.0.as_ref(), SLICE)?;
        let (is_last_slice, began) = (channels.len() < SLICE, Instant::now());
        for (name, record) in channels {
            if !is_crowded() || began.elapsed() > SLICE_TIME {
                return Ok(());
            }
            let part = record.messages().div_ceil(PART);
            remove(shared, store, &name, record, part.min(REMOVALS))?;
            self.crowded.0 = Some(name);
        }
        if is_last_slice {
            self.crowded.0 = None;
        }
        Ok(())
    }
}

/// Whether something that came at `then_ms` is as old as `age`.
pub(super) fn is_over(then_ms: u64, age: Duration, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(then_ms)) >= age.as_millis()
}

/// How many of a channel's oldest messages have expired.
fn expired(
    shared: &Shared,
    store: &Arc<Store>,
    name: &ChannelName,
    record: &ChannelRecord,
) -> Result<u64, EngineError> {
    let (now_ms, age) = (shared.clock.wall_ms(), record.limits.age);
    if is_over(record.timestamp_ms, age, now_ms) {
        return Ok(record.messages());
    }
    let readable = first_readable(&store.view(), name, record, now_ms)?;
    Ok(readable.0 - record.oldest.0)
}

/// The oldest message of a channel that has not expired; the one behind the newest, when all have.
///
/// # Errors
/// When the disk cannot be read.
pub(super) fn first_readable(
    view: &StoreView,
    name: &ChannelName,
    channel: &ChannelRecord,
    now_ms: u64,
) -> Result<Offset, EngineError> {
    // Timestamps never go back within a channel.
    let (mut expired, mut readable) = (channel.oldest.0, channel.newest.0 + 1);
    let is_expired = |offset: u64| {
        let (offset, mut is_expired) = (Offset(offset), false);
        view.messages(name, offset..=offset, Direction::Forward, |_, bytes| {
            // One that cannot be read goes with those behind it.
            is_expired = record::timestamp_ms(bytes)
                .is_ok_and(|then_ms| is_over(then_ms, channel.limits.age, now_ms));
            Ok(false)
        })?;
        Ok::<_, EngineError>(is_expired)
    };
    // Mostly none has.
    if expired < readable && !is_expired(expired)? {
        return Ok(channel.oldest);
    }
    while expired < readable {
        let middle = expired + (readable - expired) / 2;
        if is_expired(middle)? {
            expired = middle + 1;
        } else {
            readable = middle;
        }
    }
    Ok(Offset(readable))
}

/// Removes so many of a channel's oldest messages.
fn remove(
    shared: &Shared,
    store: &Arc<Store>,
    name: &ChannelName,
    record: ChannelRecord,
    messages: u64,
) -> Result<(), EngineError> {
    if messages == 0 {
        return Ok(());
    }
    let mut after = record;
    let mut batch: StoreBatch<'_> = store.batch_for_later();
    let last = Offset(record.oldest.0 + messages - 1);
    store.view().messages(
        name,
        record.oldest..=last,
        Direction::Forward,
        |offset, bytes| {
            batch.remove_message(name, offset);
            after.bytes = after.bytes.saturating_sub(bytes.len() as u64);
            Ok(true)
        },
    )?;
    after.oldest = last.next();
    if after.messages() == 0 {
        after.bytes = 0;
    }
    batch.set_channel(name, &after);
    batch.commit()?;
    shared.count(&record, &after);
    Ok(())
}

/// Forgets a channel without messages, unless it is in memory or was used not long ago.
fn forget(
    shared: &Shared,
    store: &Arc<Store>,
    name: &ChannelName,
    record: &ChannelRecord,
) -> Result<(), EngineError> {
    let grace = shared.settings.memory.idle_grace.max(record.limits.age);
    if !is_over(record.written_ms, grace, shared.clock.wall_ms()) {
        return Ok(());
    }
    let _guard = shared.no_beginning();
    if shared.memory.knows(name) {
        return Ok(());
    }
    let mut batch = store.batch_for_later();
    batch.remove_channel(name);
    batch.commit()
}
