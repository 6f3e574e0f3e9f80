//! What an engine holds, in numbers, for the metrics.

use crate::metrics::LatencyCounts;

/// What an engine holds now. Of the several nodes of an engine, what this one knows without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineFigures {
    /// Channels that have subscribers, members, history or idempotency keys.
    pub channels: u64,
    /// Channels that have none of these any more, and are remembered for a while.
    pub idle_channels: u64,
    /// Messages in the histories of all channels.
    pub history_messages: u64,
    /// About how much memory these and the idempotency keys take, in bytes.
    pub history_bytes: u64,
    /// Bytes of messages on the disk, where there are some.
    pub disk_bytes: u64,
    /// Bytes of them that had to go early since the start, because there was no more room.
    pub evicted_bytes: u64,
    /// Members of all channels.
    pub members: u64,
    /// How it is with writing, where messages are written to a disk.
    pub writes: Option<WriteFigures>,
    /// How it is with the server in the network, where there is one.
    pub server: Option<ServerFigures>,
}

/// How it is with writing to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteFigures {
    /// How long writes have taken since the start, those that failed among them. One may be of many publications.
    pub latency: LatencyCounts,
    /// Publications that wait for a write, or are being written.
    pub waiting: u64,
    /// About how much memory these take, in bytes.
    pub waiting_bytes: u64,
}

/// How it is with a server in the network that an engine asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerFigures {
    /// Commands that wait for their answers.
    pub waiting: u64,
    /// For how long commands have been waited for since the start: those that were answered, and those that were given up.
    pub latency: LatencyCounts,
    /// How often there was a new connection after the first.
    pub reconnects: u64,
    /// Channels that had moved while nothing was heard of them, and were read again.
    pub rereads: u64,
}

/// How it is with one of the servers in the network that an engine asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its name, without a password.
    pub name: String,
    /// Whether it can be asked, and all that has to be heard from it is heard.
    pub is_ready: bool,
}

impl WriteFigures {
    fn plus(self, other: Self) -> Self {
        Self {
            latency: self.latency.plus(other.latency),
            waiting: self.waiting + other.waiting,
            waiting_bytes: self.waiting_bytes + other.waiting_bytes,
        }
    }
}

impl ServerFigures {
    fn plus(self, other: Self) -> Self {
        Self {
            waiting: self.waiting + other.waiting,
            latency: self.latency.plus(other.latency),
            reconnects: self.reconnects + other.reconnects,
            rereads: self.rereads + other.rereads,
        }
    }
}

impl EngineFigures {
    /// The sums of the figures of two engines.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            channels: self.channels + other.channels,
            idle_channels: self.idle_channels + other.idle_channels,
            history_messages: self.history_messages + other.history_messages,
            history_bytes: self.history_bytes + other.history_bytes,
            disk_bytes: self.disk_bytes + other.disk_bytes,
            evicted_bytes: self.evicted_bytes + other.evicted_bytes,
            members: self.members + other.members,
            writes: both(self.writes, other.writes, WriteFigures::plus),
            server: both(self.server, other.server, ServerFigures::plus),
        }
    }
}

/// What two engines have of something that not every engine has.
fn both<T>(one: Option<T>, other: Option<T>, plus: fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(plus(one, other)),
        (one, other) => one.or(other),
    }
}
