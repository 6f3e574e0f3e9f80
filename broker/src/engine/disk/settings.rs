//! What the disk engine keeps to.

use std::path::PathBuf;

use crate::config::Durability;
use crate::engine::MemorySettings;

/// Where the disk engine keeps its messages, and how many.
#[derive(Debug, Clone)]
pub struct DiskSettings {
    /// The directory of its files, which no other process may use.
    pub path: PathBuf,
    /// What an acknowledged message survives.
    pub durability: Durability,
    /// How many bytes the messages of all channels may take.
    pub disk_bytes: u64,
    /// How many bytes have to be free on the disk for messages to be accepted.
    pub free_bytes: u64,
    /// How many bytes of what has been read from the files are kept in memory.
    pub cache_bytes: u64,
    /// How many bytes the publications may have that wait to be written.
    pub waiting_bytes: u64,
    /// What is kept in memory, too: the newest messages, presence, and idempotency keys.
    pub memory: MemorySettings,
}
