//! `[outbox]`: what waits in memory for one subscriber.

use super::byte_count::ByteCount;
use super::section::settings;

settings! {
    /// How much waits in memory for one subscriber that reads more slowly than messages come.
    pub struct OutboxSettings {
        /// How much may wait in the broker; beyond it the namespace's `slow_consumer` policy applies.
        bytes: ByteCount, "bytes" = ByteCount::mebibytes(1), within 1024..=1_073_741_824;
        /// How much may wait in the kernel (`SO_SNDBUF`); Linux doubles it for its own bookkeeping.
        send_buffer_bytes: ByteCount, "send_buffer_bytes" = ByteCount::kibibytes(128), within 4096..=16_777_216;
    }
}
