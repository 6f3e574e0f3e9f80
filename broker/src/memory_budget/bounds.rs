//! How much of the ceiling each part may take.

use super::machine;
use crate::config::{ByteCount, Config};

const MEBIBYTE: u64 = 1 << 20;

/// How many times as large as the largest message any form of a message may be. Structured clone's rarer types become up to
/// [`Payload::MOST_GROWTH`](widecast_protocol::Payload::MOST_GROWTH) times as large in JSON as they are in MessagePack.
const FORM_GROWTH: u64 = 16;

/// About how many bytes a channel takes with a name that is long, beside its history.
pub const CHANNEL_BYTES: u64 = 640;

/// The memory that is assumed where the system does not say how much there is.
const UNKNOWN: u64 = 1024 * MEBIBYTE;

/// The most that the process may take, and the most of each part. With much memory the settings and the figures here hold; with
/// little, each part keeps to a fraction of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// All of it together.
    pub ceiling: u64,
    /// Past messages and idempotency keys.
    pub history: u64,
    /// The wire forms of messages that wait.
    pub forms: u64,
    /// One message in its largest form: each part that has to carry one can.
    pub largest_form: u64,
    /// Answers that wait in outboxes, and what polls may ask for again.
    pub replies: u64,
    /// Answers that are being written.
    pub answers: u64,
    /// Heads, bodies and messages that have come in part.
    pub unfinished: u64,
    /// Large bodies and messages that are whole, while they are carried out.
    pub requests: u64,
    /// Publications that wait until a disk has them.
    pub unwritten: u64,
    /// Members and their data.
    pub presence: u64,
    /// Channels that nobody uses any more.
    pub idle_channels: u64,
}

impl Bounds {
    /// What the settings say for this machine.
    pub fn of(config: &Config) -> Self {
        let ceiling = match config.limits.memory_bytes.get() {
            // The rest is for the kernel's part of the connections, and for others.
            0 => machine::available().unwrap_or(UNKNOWN) / 4 * 3,
            bytes => bytes,
        };
        Self::under(ceiling, config)
    }

    /// The settings with what the bounds leave of them.
    #[must_use]
    pub fn applied_to(&self, mut config: Config) -> Config {
        config.history.total_bytes = ByteCount::new(self.history);
        config.limits.unfinished_bytes = ByteCount::new(self.unfinished);
        let page = config
            .limits
            .bytes_per_history
            .min(ByteCount::new(self.answers));
        config.limits.bytes_per_history = page;
        config
    }

    fn under(ceiling: u64, config: &Config) -> Self {
        let limits = &config.limits;
        let unfinished = limits.unfinished_bytes.get();
        let answers = (64 * MEBIBYTE).min(ceiling / 8);
        Self {
            ceiling,
            history: config.history.total_bytes.get().min(ceiling / 16 * 3),
            forms: (256 * MEBIBYTE).min(ceiling / 8),
            replies: (96 * MEBIBYTE).min(ceiling / 8),
            largest_form: (limits.message_bytes.get() * FORM_GROWTH).min(answers),
            answers,
            // The largest request has to fit in any case.
            unfinished: unfinished.min((ceiling / 8).max(limits.request_bytes.get())),
            requests: (64 * MEBIBYTE)
                .min(ceiling / 8)
                .max(limits.request_bytes.get()),
            unwritten: (64 * MEBIBYTE).min(ceiling / 16),
            presence: (64 * MEBIBYTE).min(ceiling / 16),
            idle_channels: ceiling / 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_small_process_are_no_more_than_it() {
        let ceiling = 256 * MEBIBYTE;
        let bounds = Bounds::under(ceiling, &Config::default());
        let Bounds {
            ceiling: _,
            history,
            forms,
            largest_form: _,
            replies,
            answers,
            unfinished,
            requests,
            unwritten,
            presence,
            idle_channels,
        } = bounds;
        assert_eq!(history, 48 * MEBIBYTE);
        let sum = history
            + forms
            + replies
            + answers
            + unfinished
            + requests
            + unwritten
            + presence
            + idle_channels;
        assert!(sum <= ceiling, "{bounds:?}");
    }

    #[test]
    fn one_message_in_its_largest_form_and_one_page_fit_each_part_that_carries_them() {
        let mut config = Config::default();
        config.limits.message_bytes = ByteCount::mebibytes(32);
        config.limits.bytes_per_history = ByteCount::mebibytes(64);
        for mebibytes in [64, 256, 65_536] {
            let bounds = Bounds::under(mebibytes * MEBIBYTE, &config);
            let page = bounds.applied_to(config.clone()).limits.bytes_per_history;
            let least = bounds.answers.min(bounds.replies).min(bounds.forms);
            assert!(bounds.largest_form.max(page.get()) <= least, "{bounds:?}");
        }
        let bounds = Bounds::under(64 << 30, &Config::default());
        assert_eq!(bounds.largest_form, 16 * MEBIBYTE);
    }

    #[test]
    fn with_much_memory_the_settings_hold() {
        let config = Config::default();
        let bounds = Bounds::under(64 << 30, &config);
        assert_eq!(bounds.history, config.history.total_bytes.get());
        assert_eq!(bounds.unfinished, config.limits.unfinished_bytes.get());
    }
}
