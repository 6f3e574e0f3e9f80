//! The bytes that all channels together may hold.
//!
//! When they hold more, the oldest message of all channels goes first, whichever channel it is in: see
//! `docs/decisions/0002-history-budget.md`. Who publishes pays: after the channel's lock is released, the publisher
//! drops at most twice what it has added ([`Effort::of_publisher`]), so that a publication costs no more because there
//! are a million channels. The sweep does what may be left.

use std::sync::atomic::{AtomicU64, Ordering};

/// An account of bytes. Each channel adds the difference whenever what it holds has changed.
#[derive(Debug)]
pub(super) struct Budget {
    limit: AtomicU64,
    held: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            held: AtomicU64::new(0),
        }
    }

    /// From now on so many bytes may be held.
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// A channel held `before` bytes, and now holds `after`.
    pub(super) fn replace(&self, before: u64, after: u64) {
        // Only the sum matters, and each channel's changes follow one another under its lock: so Relaxed.
        if after > before {
            self.held.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// How many bytes all channels hold.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many bytes are to be dropped.
    pub(super) fn excess(&self) -> u64 {
        let limit = self.limit.load(Ordering::Relaxed);
        self.held().saturating_sub(limit)
    }
}

/// How much one caller does to bring the account back into its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effort {
    /// At most this many bytes are dropped, rounded up to a message.
    pub(super) bytes: u64,
    /// At most this many channels are looked at in vain: what had been their oldest message is gone by other means.
    pub(super) misses: usize,
}

impl Effort {
    /// A publisher drops more than it added, so that the account shrinks while it is beyond the limit. It makes at most
    /// one channel's oldest message go by other means, so that 16 looks in vain are more than publishers can cause.
    pub(super) fn of_publisher(added: u64) -> Self {
        Self {
            bytes: added.saturating_mul(2),
            misses: 16,
        }
    }

    /// A slice of the sweep.
    pub(super) const SWEEP: Self = Self {
        bytes: 1024 * 1024,
        misses: 128,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_the_sum_of_what_the_channels_hold() {
        let budget = Budget::new(100);
        budget.replace(0, 80);
        budget.replace(0, 50);
        assert_eq!((budget.held(), budget.excess()), (130, 30));
        budget.replace(80, 10);
        assert_eq!((budget.held(), budget.excess()), (60, 0));
    }
}
