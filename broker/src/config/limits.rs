//! `[limits]`: how much one client may ask for at once.

use widecast_protocol::ChannelName;

use super::byte_count::ByteCount;
use super::section::settings;

settings! {
    /// How much one client may ask for at once. A request that goes beyond is refused with an error that names the limit.
    pub struct LimitSettings {
        /// The largest message: the bytes of its data.
        message_bytes: ByteCount, "message_bytes" = ByteCount::mebibytes(1), within 1..=268_435_456;
        /// The largest body of an HTTP request that carries several messages or commands.
        request_bytes: ByteCount, "request_bytes" = ByteCount::mebibytes(8), within 1..=1_073_741_824;
        /// The most that unfinished requests and WebSocket messages of all clients may take together. Beyond it the largest
        /// of them is given up.
        unfinished_bytes: ByteCount, "unfinished_bytes" = ByteCount::mebibytes(64), within 1..=1_099_511_627_776;
        /// The most that one session may tell about itself where it is listed as a member: the bytes of its data.
        presence_bytes: ByteCount, "presence_bytes" = ByteCount::kibibytes(4), within 0..=1_048_576;
        /// The longest name of a channel.
        channel_name_bytes: usize, "channel_name_bytes" = ChannelName::MAX_BYTES, within 1..=255;
        /// How many channels one session may join.
        channels_per_session: usize, "channels_per_session" = 256, within 1..=1_000_000;
        /// How many messages one batch may have.
        messages_per_batch: usize, "messages_per_batch" = 1000, within 1..=1_000_000;
        /// How many commands one frame or POST may have.
        commands_per_frame: usize, "commands_per_frame" = 256, within 1..=1_000_000;
        /// How many fragments one WebSocket message may come in.
        fragments_per_message: usize, "fragments_per_message" = 4096, within 1..=10_000_000;
        /// How many messages one answer with past messages may have.
        messages_per_history: usize, "messages_per_history" = 256, within 1..=1_000_000;
    }
}
