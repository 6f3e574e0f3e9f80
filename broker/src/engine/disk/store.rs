//! The files: channels, their messages and idempotency keys, in the store [fjall](https://docs.rs/fjall).
//!
//! A record is written whole or not at all: a channel's record always agrees with the messages that are there.

use std::error::Error;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use widecast_protocol::ChannelName;

use super::announced::StoredAnnouncement;
use super::boot::BootMark;
use super::channel_record::{ChannelRecord, END, offset_in, prefix};
use super::checkup;
use super::directory::{self, DirectoryLock};
use super::error::DiskError;
use super::inventory::{self, Inventory};
use super::journal_guard::JournalGuard;
use super::settings::DiskSettings;
use super::store_batch::StoreBatch;
use super::used_key::{UsedKey, place_of};
use super::view::StoreView;
use crate::config::Durability;
use crate::engine::EngineError;

/// How much memory the store takes for what it has not yet sorted; up to five times as much when the disk is slow.
const MESSAGES_UNSORTED_BYTES: u64 = 8 << 20;
const OTHERS_UNSORTED_BYTES: u64 = 2 << 20;
const JOURNAL_BYTES: u64 = 128 << 20;

/// What the store writes in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sorting {
    tables: usize,
    /// How many of them it has not begun with.
    waiting: usize,
}

/// The open files.
pub(super) struct Store {
    path: PathBuf,
    /// Which files there have to be, as the disk was last told.
    inventory: Mutex<Option<Inventory>>,
    database: Database,
    pub(super) channels: Keyspace,
    pub(super) messages: Keyspace,
    pub(super) keys: Keyspace,
    state: Keyspace,
    pub(super) announcements: Keyspace,
    persist: PersistMode,
    /// How the next batch that is acknowledged fails, in tests.
    #[cfg(test)]
    pub(super) failure: std::sync::Mutex<Option<super::failure_tests::Failure>>,
    /// The last field, so that it goes when all files are closed.
    _lock: DirectoryLock,
}

impl Store {
    /// Opens the files, or makes them.
    ///
    /// # Errors
    /// When they cannot be used, saying why.
    pub(super) fn open(settings: &DiskSettings) -> Result<Self, DiskError> {
        let path = &settings.path;
        let lock = directory::take(path)?;
        let inventory = Inventory::read(path)?;
        if inventory.is_some() || directory::has_store(path)? {
            checkup::check(path, inventory.as_ref())?;
        }
        let guard = JournalGuard::before_opening(path)?;
        // The store panics at some damages of its files. It is given up then, and nothing of it is used any more.
        let opened = catch_unwind(|| Self::try_open(settings, lock));
        let opened = opened.unwrap_or(Err(fjall::Error::Unrecoverable));
        guard.check()?;
        let store = opened.map_err(|error| reason_of(error, path, inventory.as_ref()))?;
        *store.known_inventory() = inventory;
        if let Err(error) = store.take_stock() {
            tracing::warn!(
                path = %path.display(),
                error = &error as &dyn Error,
                "which files there are could not be written down; what was written before still holds"
            );
        }
        Ok(store)
    }

    /// Remembers which files there are, if that has changed since.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn take_stock(&self) -> io::Result<()> {
        inventory::take_stock(&self.path, &mut self.known_inventory())
    }

    fn known_inventory(&self) -> MutexGuard<'_, Option<Inventory>> {
        let known = self.inventory.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// Why what is in the files cannot be used.
    pub(super) fn unreadable(&self, source: EngineError) -> DiskError {
        let path = self.path.clone();
        checkup::find_culprit(&path, self.known_inventory().as_ref())
            .or_else(|| system_error(&source).map(|error| DiskError::of(&path, error)))
            .unwrap_or(DiskError::Content { path, source })
    }

    fn try_open(settings: &DiskSettings, lock: DirectoryLock) -> fjall::Result<Self> {
        let database = Database::builder(&settings.path)
            .cache_size(settings.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()?;
        let keyspace = |name, unsorted_bytes| {
            let options =
                move || KeyspaceCreateOptions::default().max_memtable_size(unsorted_bytes);
            database.keyspace(name, options)
        };
        let store = Self {
            path: settings.path.clone(),
            inventory: Mutex::default(),
            channels: keyspace("channels", OTHERS_UNSORTED_BYTES)?,
            messages: keyspace("messages", MESSAGES_UNSORTED_BYTES)?,
            keys: keyspace("keys", OTHERS_UNSORTED_BYTES)?,
            state: keyspace("state", OTHERS_UNSORTED_BYTES)?,
            announcements: keyspace("announcements", OTHERS_UNSORTED_BYTES)?,
            persist: match settings.durability {
                Durability::Process => PersistMode::Buffer,
                Durability::Power => PersistMode::SyncData,
            },
            database,
            #[cfg(test)]
            failure: std::sync::Mutex::default(),
            _lock: lock,
        };
        Ok(store)
    }

    /// Begins to write several things that are there together or not at all.
    pub(super) fn batch(&self) -> StoreBatch<'_> {
        StoreBatch {
            batch: self.database.batch().durability(Some(self.persist)),
            store: self,
            #[cfg(test)]
            failure: self.failure.lock().unwrap().take(),
        }
    }

    /// The same for what nobody is told of: the disk need not have it at once.
    pub(super) fn batch_for_later(&self) -> StoreBatch<'_> {
        StoreBatch {
            batch: self.database.batch().durability(Some(PersistMode::Buffer)),
            store: self,
            #[cfg(test)]
            failure: None,
        }
    }

    /// The channel, if the disk knows it.
    pub(super) fn channel(&self, name: &ChannelName) -> Result<Option<ChannelRecord>, EngineError> {
        let found = self.channels.get(name.as_str()).map_err(unavailable)?;
        found.map(|bytes| ChannelRecord::decode(&bytes)).transpose()
    }

    /// The channels behind a name, in their order, at most so many of them.
    pub(super) fn channels_after(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<(ChannelName, ChannelRecord)>, EngineError> {
        self.channels_from("", after, limit)
    }

    /// The channels behind a name, from the first one on that begins with `beginning`.
    pub(super) fn channels_from(
        &self,
        beginning: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<(ChannelName, ChannelRecord)>, EngineError> {
        // No name has a zero byte: behind this name comes the next one.
        let behind = after.map_or_else(Vec::new, prefix);
        let first = behind.max(beginning.as_bytes().to_vec());
        let found = self.channels.range(first..).take(limit).map(|entry| {
            let (name, record) = entry.into_inner().map_err(unavailable)?;
            let name = std::str::from_utf8(&name).ok();
            let name = name.and_then(|name| ChannelName::parse(name).ok());
            let name = name.ok_or(EngineError::Corrupt {
                expected: "the name of a channel",
            })?;
            Ok((name, ChannelRecord::decode(&record)?))
        });
        found.collect()
    }

    /// What the store writes of its journal in their order, if anything. While it begins to, whoever commits waits until the disk has the journal.
    pub(super) fn sorting(&self) -> Option<Sorting> {
        let tables =
            [&self.channels, &self.messages, &self.keys].map(Keyspace::sealed_memtable_count);
        let tables = tables.iter().sum();
        (tables > 0).then(|| Sorting {
            tables,
            waiting: self.database.outstanding_flushes(),
        })
    }

    /// The files as they are at this moment.
    pub(super) fn view(self: &Arc<Self>) -> StoreView {
        StoreView {
            snapshot: self.database.snapshot(),
            store: Arc::clone(self),
        }
    }

    /// What an idempotency key was last used for in a channel.
    pub(super) fn key(
        &self,
        channel: &ChannelName,
        text: &str,
    ) -> Result<Option<UsedKey>, EngineError> {
        let found = self
            .keys
            .get(place_of(channel, text))
            .map_err(unavailable)?;
        found.map(|value| UsedKey::decode(&value)).transpose()
    }

    /// Idempotency keys of all channels behind this place, at most so many of them, each with its place.
    pub(super) fn keys_after(
        &self,
        place: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, UsedKey)>, EngineError> {
        let mut first = place.to_vec();
        first.push(0);
        let found = self.keys.range(first..).take(limit).map(|entry| {
            let (place, value) = entry.into_inner().map_err(unavailable)?;
            Ok((place.to_vec(), UsedKey::decode(&value)?))
        });
        found.collect()
    }

    /// The announcement of this key, if one is kept; it may have ended.
    pub(super) fn announcement(
        &self,
        key: &str,
    ) -> Result<Option<StoredAnnouncement>, EngineError> {
        let found = self.announcements.get(key).map_err(unavailable)?;
        let read = |bytes: fjall::Slice| StoredAnnouncement::decode(key.as_bytes(), &bytes);
        found.map(read).transpose()
    }

    /// The announcements behind a key, in the order of their keys, at most so many of them; some may have ended.
    pub(super) fn announcements_after(
        &self,
        key: &str,
        limit: usize,
    ) -> Result<Vec<StoredAnnouncement>, EngineError> {
        let first = [key.as_bytes(), &[0]].concat();
        let found = self.announcements.range(first..).take(limit);
        let found = found.map(|entry| {
            let (key, bytes) = entry.into_inner().map_err(unavailable)?;
            StoredAnnouncement::decode(&key, &bytes)
        });
        found.collect()
    }

    /// How long the messages of all channels are together, in bytes, and how many there are.
    ///
    /// # Errors
    /// When a channel's record does not agree with its messages: a file is damaged.
    pub(super) fn checked_totals(&self) -> Result<(u64, u64), EngineError> {
        let mut totals = (0, 0);
        for entry in self.channels.iter() {
            let (name, record) = entry.into_inner().map_err(unavailable)?;
            let record = ChannelRecord::decode(&record)?;
            self.check_newest(&name, &record)?;
            totals = (totals.0 + record.bytes, totals.1 + record.messages());
        }
        Ok(totals)
    }

    /// Makes sure that the newest message is there, and nothing behind it.
    fn check_newest(&self, name: &[u8], record: &ChannelRecord) -> Result<(), EngineError> {
        let newest = self.messages.prefix([name, &[END]].concat()).next_back();
        let newest = newest.map(fjall::Guard::key).transpose();
        let newest = newest.map_err(unavailable)?.map(|key| offset_in(&key));
        let expected = (record.messages() > 0).then_some(record.newest);
        if newest == expected {
            return Ok(());
        }
        Err(EngineError::Corrupt {
            expected: "a channel's record that agrees with its messages",
        })
    }

    /// The boot of the machine in which the files were last written, if they are.
    pub(super) fn boot_mark(&self) -> Result<Option<BootMark>, EngineError> {
        let found = self.state.get("boot").map_err(unavailable)?;
        Ok(found.map(|bytes| BootMark::decode(&bytes)))
    }

    /// Remembers the boot, on the disk itself.
    pub(super) fn set_boot_mark(&self, mark: &BootMark) -> Result<(), EngineError> {
        self.state
            .insert("boot", mark.encode())
            .map_err(unavailable)?;
        self.sync()
    }

    /// Writes all that is in the journal into tables.
    #[cfg(test)]
    pub(super) fn write_tables(&self) {
        for keyspace in [
            &self.channels,
            &self.messages,
            &self.keys,
            &self.state,
            &self.announcements,
        ] {
            keyspace.rotate_memtable_and_wait().unwrap();
        }
    }

    /// Waits until the disk has all that was written.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        self.database
            .persist(PersistMode::SyncAll)
            .map_err(unavailable)
    }
}

/// Why the store could not be opened.
fn reason_of(error: fjall::Error, directory: &Path, inventory: Option<&Inventory>) -> DiskError {
    let path = directory.to_owned();
    if matches!(error, fjall::Error::Locked) {
        return DiskError::InUse { path };
    }
    // All files are read to find the damaged one: not where the system has said what is wrong.
    let of_system = system_error(&error);
    if let Some(error) = of_system.filter(|error| DiskError::is_plain(error.kind())) {
        return DiskError::of(directory, error);
    }
    checkup::find_culprit(directory, inventory)
        .or_else(|| system_error(&error).map(|error| DiskError::of(directory, error)))
        .unwrap_or(DiskError::Store {
            path,
            source: error,
        })
}

/// What the system has said, where that is the reason.
fn system_error(error: &(dyn Error + 'static)) -> Option<io::Error> {
    let mut error = error;
    loop {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(io::Error::new(found.kind(), found.to_string()));
        }
        error = error.source()?;
    }
}

pub(super) fn unavailable(error: fjall::Error) -> EngineError {
    EngineError::unavailable(error)
}
