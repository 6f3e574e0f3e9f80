//! How much of each part is held, over all threads.

use std::sync::atomic::{AtomicI64, Ordering};

use widecast_protocol::held_form_bytes;

macro_rules! parts {
    ($( $(#[doc = $doc:literal])+ $part:ident = $name:literal; )+) => {
        /// What is held for clients.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Part { $( $(#[doc = $doc])+ $part, )+ }

        impl Part {
            /// Every part.
            pub const ALL: &'static [Self] = &[ $( Self::$part, )+ ];

            /// Its name in the metrics.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$part => $name, )+ }
            }
        }
    };
}

parts! {
    /// Past messages and idempotency keys.
    History = "history";
    /// The wire forms of messages that somebody has yet to be sent, each once for all.
    Forms = "forms";
    /// The bytes that wait in one outbox alone: answers, heartbeats, and the news of who came and went.
    Replies = "replies";
    /// The frames that polls were given, and may ask for again.
    Polled = "polled";
    /// Answers to requests, for as long as they are being written.
    Answers = "answers";
    /// Heads, bodies, lines and WebSocket messages that have come in part, and large ones that wait, for their turn or for their client.
    Unfinished = "unfinished";
    /// Large heads until their requests are answered, and large bodies and WebSocket messages that are whole and have their turn.
    Requests = "requests";
    /// Publications that wait until a disk has them.
    Unwritten = "unwritten";
    /// Members and their data.
    Presence = "presence";
    /// Channels, those that nobody uses any more included, as what each takes about.
    Channels = "channels";
    /// Connections, sessions and subscriptions, as what each takes about.
    Sessions = "sessions";
}

static HELD: [AtomicI64; Part::ALL.len()] = [const { AtomicI64::new(0) }; Part::ALL.len()];

/// So much more of a part is held now, or less.
pub fn add(part: Part, bytes: i64) {
    if bytes != 0 {
        // Only the sums matter.
        HELD[part as usize].fetch_add(bytes, Ordering::Relaxed);
    }
}

/// So many bytes of a part, which are held for as long as there is this.
#[derive(Debug)]
pub struct Counted {
    part: Part,
    bytes: i64,
}

impl Counted {
    /// Counts them.
    pub fn of(part: Part, bytes: usize) -> Self {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        add(part, bytes);
        Self { part, bytes }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        add(self.part, -self.bytes);
    }
}

/// So many bytes of a part are held now, as the caller has found out.
pub fn set(part: Part, bytes: u64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    HELD[part as usize].store(bytes, Ordering::Relaxed);
}

/// How much of a part is held.
pub fn held(part: Part) -> u64 {
    if part == Part::Forms {
        return held_form_bytes() as u64;
    }
    // Bytes that are added on one thread may be taken away on another before the first is seen.
    u64::try_from(HELD[part as usize].load(Ordering::Relaxed)).unwrap_or(0)
}

/// How much all parts hold together.
pub fn total() -> u64 {
    Part::ALL.iter().map(|&part| held(part)).sum()
}
