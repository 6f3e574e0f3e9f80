//! `[limits]`: how much one client may ask for at once.

use std::time::Duration;

use widecast_protocol::ChannelName;

use super::byte_count::ByteCount;
use super::section::settings;

/// How long every engine remembers an idempotency key.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_mins(5);

settings! {
    /// How much one client may ask for at once. A request that goes beyond is refused with an error that names the limit.
    pub struct LimitSettings {
        /// The most memory that the broker may take; 0 for three quarters of what the machine or the control group has, and otherwise at
        /// least eight times `request_bytes` and `bytes_per_history`, so that the largest of them get through. Near it the
        /// history gives way, then the sessions that hold most, and new work is refused with `overloaded`.
        memory_bytes: ByteCount, "memory_bytes" = ByteCount::new(0), within 0..=1_099_511_627_776;
        /// The largest message: the bytes of its data.
        message_bytes: ByteCount, "message_bytes" = ByteCount::mebibytes(1), within 1..=33_554_432;
        /// The largest body of an HTTP request that carries several messages or commands. Twice as many bytes of commands may wait for
        /// one session to carry them out, where they come by requests of their own.
        request_bytes: ByteCount, "request_bytes" = ByteCount::mebibytes(8), within 1..=1_073_741_824;
        /// The most that unfinished requests and WebSocket messages of all clients may take together. Beyond it the largest
        /// of them is given up.
        unfinished_bytes: ByteCount, "unfinished_bytes" = ByteCount::mebibytes(64), within 1..=1_099_511_627_776;
        /// The largest data, in bytes, with which a session may list itself as a member of a channel.
        presence_bytes: ByteCount, "presence_bytes" = ByteCount::kibibytes(4), within 0..=1_048_576;
        /// The longest name of a channel.
        channel_name_bytes: usize, "channel_name_bytes" = ChannelName::MAX_BYTES, within 1..=255;
        /// How many channels one session may join.
        channels_per_session: usize, "channels_per_session" = 256, within 1..=1_000_000;
        /// How many messages one batch may have.
        messages_per_batch: usize, "messages_per_batch" = 1000, within 1..=10_000;
        /// How many commands one frame or POST may have.
        commands_per_frame: usize, "commands_per_frame" = 256, within 1..=1024;
        /// How many commands one session may send in a second, on whatever transport; 0 for any number. The allowance of a whole second may
        /// be used at once, and never less than `channels_per_session` and one more: a session that comes back joins all its channels at
        /// once. `unsubscribe` and `ping` do not count.
        commands_per_session_and_second: usize, "commands_per_session_and_second" = 0, within 0..=100_000_000;
        /// How many fragments one WebSocket message may come in.
        fragments_per_message: usize, "fragments_per_message" = 4096, within 1..=10_000_000;
        /// How many members one presence list may have; a client asks for the others page by page. Their data is bounded by a
        /// quarter of `outbox.bytes`, too.
        members_per_list: usize, "members_per_list" = 1000, within 1..=1_000_000;
        /// How many messages one answer with past messages may have.
        messages_per_history: usize, "messages_per_history" = 256, within 1..=1_000_000;
        /// How many bytes the messages of one answer with past messages may have together, each in its largest form. The newest or
        /// the next one is always in it, however large.
        bytes_per_history: ByteCount, "bytes_per_history" = ByteCount::mebibytes(8), within 1..=67_108_864;
        /// How many connections the clients of one address may have at a time; 0 for any number. An address is an IPv4
        /// address, or the first 64 bits of an IPv6 address. The connections of `server.trusted_proxies` are not counted.
        connections_per_address: usize, "connections_per_address" = 10_000, within 0..=100_000_000;
        /// How many connections the clients of one address may open in a second; 0 for any number.
        connections_per_address_and_second: usize, "connections_per_address_and_second" = 1000, within 0..=100_000_000;
        /// How many sessions and streams the clients of one address may have at a time, polls that wait included; 0 for any
        /// number. Behind `server.trusted_proxies` the address is that of the client.
        sessions_per_address: usize, "sessions_per_address" = 10_000, within 0..=100_000_000;
        /// How many sessions and streams the clients of one address may open in a second, polls that may wait included; 0 for
        /// any number.
        sessions_per_address_and_second: usize, "sessions_per_address_and_second" = 1000, within 0..=100_000_000;
        /// How much work the clients of one address may make in a second: the bytes that they publish and those that they read
        /// of the history, those that compressed bodies and values have when they are inflated, 1024 for each channel that a URL names, and 256 for
        /// each command and each member in a list; 0 for any amount. Work beyond that is still done, but then nothing more until
        /// the excess is paid off.
        work_bytes_per_address_and_second: ByteCount, "work_bytes_per_address_and_second" = ByteCount::mebibytes(64), within 0..=1_099_511_627_776;
        /// How many members of channels the clients of one address may be at a time, each counted once for each session and channel; 0 for
        /// any number. Those who have left count for as long as they are shown (`presence.grace_ms`).
        members_per_address: usize, "members_per_address" = 10_000, within 0..=100_000_000;
        /// How many idempotency keys and message ids the clients of one address may use in five minutes, which is for how long each is
        /// remembered; 0 for any number. The allowance of the whole time may be used at once. API keys are not counted here.
        idempotency_keys_per_address: usize, "idempotency_keys_per_address" = 3_000_000, within 0..=1_000_000_000;
        /// How many sessions and streams one user may have at a time, polls that wait included; 0 for any number. The user is the
        /// one that the token, or else the authorisation hook, names.
        sessions_per_user: usize, "sessions_per_user" = 0, within 0..=100_000_000;
        /// How many members of channels one user may be at a time, counted as for `members_per_address`; 0 for any number. A user that
        /// comes back is counted twice for `presence.grace_ms`.
        members_per_user: usize, "members_per_user" = 0, within 0..=100_000_000;
        /// How many idempotency keys and message ids one user may use in five minutes, as for `idempotency_keys_per_address`; 0 for any
        /// number.
        idempotency_keys_per_user: usize, "idempotency_keys_per_user" = 0, within 0..=1_000_000_000;
        /// How many messages one session may publish in a second; 0 for any number. The allowance of a whole second may be used at
        /// once.
        publications_per_session_and_second: usize, "publications_per_session_and_second" = 0, within 0..=100_000_000;
        /// How many bytes of data one session may publish in a second; 0 for any number. A message that exceeds it is still
        /// published, but then nothing more until the excess is paid off.
        publication_bytes_per_session_and_second: ByteCount, "publication_bytes_per_session_and_second" = ByteCount::new(0), within 0..=1_099_511_627_776;
        /// How many messages one user may publish in a second, in all sessions and requests together; 0 for any number.
        publications_per_user_and_second: usize, "publications_per_user_and_second" = 0, within 0..=100_000_000;
        /// How many bytes of data one user may publish in a second; 0 for any number.
        publication_bytes_per_user_and_second: ByteCount, "publication_bytes_per_user_and_second" = ByteCount::new(0), within 0..=1_099_511_627_776;
        /// How many messages one API key may publish in a second; 0 for any number.
        publications_per_api_key_and_second: usize, "publications_per_api_key_and_second" = 0, within 0..=100_000_000;
        /// How many bytes of data one API key may publish in a second; 0 for any number.
        publication_bytes_per_api_key_and_second: ByteCount, "publication_bytes_per_api_key_and_second" = ByteCount::new(0), within 0..=1_099_511_627_776;
        /// How many messages may be published in one channel in a second, by all together; 0 for any number.
        publications_per_channel_and_second: usize, "publications_per_channel_and_second" = 0, within 0..=100_000_000;
        /// How many bytes of data may be published in one channel in a second, by all together; 0 for any number.
        publication_bytes_per_channel_and_second: ByteCount, "publication_bytes_per_channel_and_second" = ByteCount::new(0), within 0..=1_099_511_627_776;
        /// Whether the clients on the broker's own machine are bounded like those of any other address. By default they are not:
        /// they are the developer's own clients, or a proxy that connects for many clients. If you turn this on, list such a proxy
        /// in `server.trusted_proxies`.
        loopback_has_a_share: bool, "loopback_has_a_share" = false;
    }
}

impl LimitSettings {
    /// Makes sure that the name of a channel is not too long.
    ///
    /// # Errors
    /// How long it is, and how long it may be.
    pub fn check_length(&self, channel: &ChannelName) -> Result<(), String> {
        let limit = self.channel_name_bytes;
        let actual = channel.as_str().len();
        if actual > limit {
            return Err(format!(
                "the channel name has {actual} bytes, limits.channel_name_bytes allows {limit}"
            ));
        }
        Ok(())
    }
}
