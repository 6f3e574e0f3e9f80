//! What is written to the files together.

use fjall::OwnedWriteBatch;
use widecast_protocol::{ChannelName, Offset};

use super::announced::StoredAnnouncement;
use super::channel_record::{ChannelRecord, key};
use super::store::{Store, unavailable};
use super::used_key::{UsedKey, place_of};
use crate::engine::EngineError;

/// What is written together.
pub(super) struct StoreBatch<'a> {
    pub(super) store: &'a Store,
    pub(super) batch: OwnedWriteBatch,
    #[cfg(test)]
    pub(super) failure: Option<super::failure_tests::Failure>,
}

impl StoreBatch<'_> {
    pub(super) fn set_channel(&mut self, name: &ChannelName, record: &ChannelRecord) {
        let record = record.encode();
        self.batch
            .insert(&self.store.channels, name.as_str(), record);
    }

    pub(super) fn remove_channel(&mut self, name: &ChannelName) {
        self.batch.remove(&self.store.channels, name.as_str());
    }

    pub(super) fn add_message(&mut self, channel: &ChannelName, offset: Offset, record: Vec<u8>) {
        let messages = &self.store.messages;
        self.batch.insert(messages, key(channel, offset), record);
    }

    pub(super) fn remove_message(&mut self, channel: &ChannelName, offset: Offset) {
        self.batch
            .remove(&self.store.messages, key(channel, offset));
    }

    pub(super) fn add_key(&mut self, channel: &ChannelName, text: &str, used: UsedKey) {
        let keys = &self.store.keys;
        self.batch
            .insert(keys, place_of(channel, text), used.encode());
    }

    pub(super) fn remove_key(&mut self, place: Vec<u8>) {
        self.batch.remove(&self.store.keys, place);
    }

    pub(super) fn set_announcement(&mut self, stored: &StoredAnnouncement) {
        let (place, key) = (&self.store.announcements, &stored.announcement.key);
        self.batch.insert(place, key.as_bytes(), stored.encode());
    }

    pub(super) fn remove_announcement(&mut self, key: String) {
        self.batch
            .remove(&self.store.announcements, key.into_bytes());
    }

    /// Writes all of it. With the durability `power` the disk has it then.
    ///
    /// # Errors
    /// When it cannot be written: nobody knows then whether it is there, and the store has to be opened anew.
    pub(super) fn commit(self) -> Result<(), EngineError> {
        #[cfg(test)]
        if let Some(failure) = self.failure {
            return failure.befall(self.batch);
        }
        self.batch.commit().map_err(unavailable)
    }
}
