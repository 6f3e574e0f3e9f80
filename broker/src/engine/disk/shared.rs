//! What the thread that writes and all others have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use widecast_protocol::{ChannelName, Epoch, Position};

use super::boot::BootMark;
use super::channel_record::ChannelRecord;
use super::error::DiskError;
use super::settings::DiskSettings;
use super::store::Store;
use super::view::StoreView;
use crate::config::Durability;
use crate::engine::memory::ChannelStart;
use crate::engine::{Clock, Deliver, EngineError, EngineFigures, Lifecycle, MemoryEngine};

/// How many channels get their new epoch at once.
const EPOCHS_AT_ONCE: usize = 1000;

/// The engine without its thread.
pub(super) struct Shared {
    pub(super) settings: DiskSettings,
    pub(super) memory: Arc<MemoryEngine>,
    pub(super) clock: Arc<dyn Clock>,
    files: Arc<Files>,
    /// Held while a channel comes into memory, or goes from the disk for ever.
    beginning: Mutex<()>,
    /// Held while an announcement is compared and written.
    pub(super) announcing: Mutex<()>,
    /// Held while the disk has messages that the memory has not handed over.
    handing_over: Mutex<()>,
    /// Why publications are refused, if they are.
    trouble: Mutex<Option<EngineError>>,
    /// How many bytes and messages there are on the disk.
    pub(super) disk_bytes: AtomicU64,
    pub(super) disk_messages: AtomicU64,
}

/// A channel at a moment at which the disk and the memory agree.
pub(super) struct Settled {
    pub(super) view: StoreView,
    pub(super) record: Option<ChannelRecord>,
    pub(super) end: Position,
}

/// The open files; closed while they are to be opened anew.
struct Files {
    store: RwLock<Option<Arc<Store>>>,
    clock: Arc<dyn Clock>,
}

impl Shared {
    pub(super) fn new(
        settings: DiskSettings,
        store: Store,
        clock: Arc<dyn Clock>,
        deliver: Arc<dyn Deliver>,
    ) -> Result<Arc<Self>, DiskError> {
        let begun = begin_in_this_boot(&store, &settings);
        let totals = begun.and_then(|()| store.checked_totals());
        let (bytes, messages) = totals.map_err(|error| store.unreadable(error))?;
        let files = Arc::new(Files {
            store: RwLock::new(Some(Arc::new(store))),
            clock: Arc::clone(&clock),
        });
        let beginnings = Arc::clone(&files);
        let memory = MemoryEngine::beginning_with(
            settings.memory,
            Arc::clone(&clock),
            deliver,
            // Whoever needs the channel has read it before: see `hold`.
            Box::new(move |name| {
                beginnings
                    .start(name)
                    .unwrap_or_else(|_| ChannelStart::anew())
            }),
        );
        Ok(Arc::new(Self {
            memory: Arc::new(memory),
            clock,
            files,
            beginning: Mutex::new(()),
            announcing: Mutex::new(()),
            handing_over: Mutex::new(()),
            trouble: Mutex::new(None),
            disk_bytes: bytes.into(),
            disk_messages: messages.into(),
            settings,
        }))
    }

    /// The files.
    ///
    /// # Errors
    /// When they are to be opened anew.
    pub(super) fn store(&self) -> Result<Arc<Store>, EngineError> {
        self.files.store()
    }

    /// Closes the files, or puts them back.
    pub(super) fn set_store(&self, store: Option<Arc<Store>>) {
        *self.files.write() = store;
    }

    /// Keeps channels from coming into memory for as long as the guard lives.
    pub(super) fn no_beginning(&self) -> MutexGuard<'_, ()> {
        self.beginning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held while messages are written and handed over.
    pub(super) fn no_reading(&self) -> MutexGuard<'_, ()> {
        self.handing_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The files at a moment at which they have no other messages of the channel than the memory has handed over, what they know of the
    /// channel, and where it ended then.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn settled(&self, channel: &ChannelName) -> Result<Settled, EngineError> {
        let look = || {
            let end = self.memory.end(channel);
            let view = self.store()?.view();
            let record = view.channel(channel)?;
            Ok(Settled { view, record, end })
        };
        let found: Settled = look()?;
        if found
            .record
            .is_none_or(|record| record.position() == found.end)
        {
            return Ok(found);
        }
        // Messages are being handed over, and others may have been removed for them.
        let _handed_over = self.no_reading();
        look()
    }

    /// Brings a channel into memory.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn hold(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let _guard = self.no_beginning();
        self.files.start(channel)?;
        self.memory.touch(channel);
        Ok(())
    }

    /// From now on publications are refused for this reason, or taken again.
    pub(super) fn set_trouble(&self, trouble: Option<EngineError>) {
        *self.trouble() = trouble;
    }

    fn trouble(&self) -> MutexGuard<'_, Option<EngineError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self) -> Result<(), EngineError> {
        self.trouble().clone().map_or(Ok(()), Err)
    }

    /// The totals on the disk have changed by so much.
    pub(super) fn count(&self, before: &ChannelRecord, after: &ChannelRecord) {
        // Wrapping: a decrease is the addition of its complement.
        let change = |total: &AtomicU64, before: u64, after: u64| {
            total.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        };
        change(&self.disk_bytes, before.bytes, after.bytes);
        change(&self.disk_messages, before.messages(), after.messages());
    }

    pub(super) fn figures(&self) -> EngineFigures {
        EngineFigures {
            history_messages: self.disk_messages.load(Ordering::Relaxed),
            disk_bytes: self.disk_bytes.load(Ordering::Relaxed),
            ..self.memory.figures()
        }
    }
}

impl Files {
    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Option<Arc<Store>>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> Result<Arc<Store>, EngineError> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || EngineError::unavailable("the engine's files are closed after an error");
        store.clone().ok_or_else(closed)
    }

    /// Where a channel begins in memory. One that the disk does not know gets its epoch here.
    fn start(&self, name: &ChannelName) -> Result<ChannelStart, EngineError> {
        let (store, now_ms) = (self.store()?, self.clock.wall_ms());
        let Some(record) = store.channel(name)? else {
            let start = ChannelStart::anew();
            let mut batch = store.batch_for_later();
            batch.set_channel(name, &ChannelRecord::new(start.position.epoch, now_ms));
            batch.commit()?;
            return Ok(start);
        };
        Ok(ChannelStart {
            position: record.position(),
            timestamp_ms: record.timestamp_ms,
            limits: record.limits,
        })
    }
}

/// Gives all channels new epochs if the disk may lack messages that subscribers have heard, and remembers the present boot.
fn begin_in_this_boot(store: &Store, settings: &DiskSettings) -> Result<(), EngineError> {
    let mark = store.boot_mark()?;
    if mark.is_some_and(|mark| mark.may_lack_messages()) {
        tracing::warn!(
            path = %settings.path.display(),
            "the machine ended before its disk had all messages; clients that resume are told of a gap. \
             engine.NAME.durability = \"power\" waits for the disk"
        );
        let mut last = None;
        loop {
            let channels = store.channels_after(last.as_ref(), EPOCHS_AT_ONCE)?;
            let Some((name, _)) = channels.last() else {
                break;
            };
            last = Some(name.clone());
            let mut batch = store.batch_for_later();
            for (name, mut record) in channels {
                record.epoch = Epoch(rand::random());
                batch.set_channel(&name, &record);
            }
            batch.commit()?;
        }
    }
    store.set_boot_mark(&BootMark::now(settings.durability == Durability::Power))
}
