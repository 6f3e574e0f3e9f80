//! What an engine holds, in numbers, for the metrics.

/// What an engine holds now. Of the several nodes of an engine, what this one knows without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineFigures {
    /// Channels that have subscribers, members, history or idempotency keys.
    pub channels: u64,
    /// Messages in the histories of all channels.
    pub history_messages: u64,
    /// About how much memory these and the idempotency keys take, in bytes.
    pub history_bytes: u64,
    /// Bytes of them that had to go early since the start, because there was no more room.
    pub evicted_bytes: u64,
    /// Members of all channels.
    pub members: u64,
}
