//! `[history]`: past messages, over all channels. The bounds per channel are in the namespaces.

use super::byte_count::ByteCount;
use super::section::settings;

settings! {
    /// Past messages, over all channels together; the bounds for one channel are in its namespace.
    pub struct HistorySettings {
        /// How much memory past messages may take over all channels.
        total_bytes: ByteCount, "total_bytes" = ByteCount::mebibytes(256), within 0..=1_099_511_627_776;
    }
}
