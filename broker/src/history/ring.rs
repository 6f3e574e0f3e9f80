//! The ring itself: appends at the end, drops at the beginning.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use widecast_protocol::Offset;

use super::limits::HistoryLimits;
use super::view::HistoryView;

/// How many expired messages one call drops. A history may hold millions, which may all expire in the same second; whoever
/// comes next must not pay for all of them under the channel's lock.
pub const EXPIRED_AT_ONCE: usize = 256;

/// A channel's offsets, and the newest of its messages.
#[derive(Debug)]
pub struct History<T> {
    /// Oldest first; the last has the offset `newest`, and there are no holes.
    pub(super) held: VecDeque<HistoryEntry<T>>,
    bytes: u64,
    newest: Offset,
}

/// A message in the ring.
#[derive(Debug)]
pub(super) struct HistoryEntry<T> {
    pub(super) message: T,
    pub(super) bytes: u64,
    stored_at: Instant,
}

impl<T> HistoryEntry<T> {
    pub(super) fn expired(&self, now: Instant, age: Duration) -> bool {
        now.saturating_duration_since(self.stored_at) >= age
    }
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self {
            held: VecDeque::new(),
            bytes: 0,
            newest: Offset(0),
        }
    }
}

impl<T> History<T> {
    /// A history that holds nothing of the messages up to `newest`.
    pub fn starting_at(newest: Offset) -> Self {
        Self {
            newest,
            ..Self::default()
        }
    }

    /// Takes the message with the next offset, and drops what is beyond the limits; the message itself too when it alone
    /// is. `now` must not be earlier than in the call before.
    pub fn append(&mut self, message: T, bytes: u64, now: Instant, limits: HistoryLimits) {
        self.newest = self.newest.next();
        self.bytes += bytes;
        self.held.push_back(HistoryEntry {
            message,
            bytes,
            stored_at: now,
        });
        self.trim(now, limits);
    }

    /// Drops what is beyond the limits; of the expired, which nobody can read any more, at most [`EXPIRED_AT_ONCE`].
    pub fn trim(&mut self, now: Instant, limits: HistoryLimits) {
        while self.held.len() > limits.messages || self.bytes > limits.bytes {
            if self.drop_oldest().is_none() {
                break;
            }
        }
        for _ in 0..EXPIRED_AT_ONCE {
            let oldest = self.held.front();
            if !oldest.is_some_and(|oldest| oldest.expired(now, limits.age)) {
                break;
            }
            self.drop_oldest();
        }
    }

    /// Drops the oldest message; returns it, if there was one.
    pub fn drop_oldest(&mut self) -> Option<T> {
        let oldest = self.held.pop_front()?;
        self.bytes -= oldest.bytes;
        if self.held.is_empty() {
            // A channel that falls silent gives its memory back.
            self.held = VecDeque::new();
        }
        Some(oldest.message)
    }

    /// What may be read at `now`: not what has expired, even when nobody has trimmed it away yet.
    pub fn as_of(&self, now: Instant, age: Duration) -> HistoryView<'_, T> {
        let expired = self.held.partition_point(|held| held.expired(now, age));
        HistoryView::new(self, expired)
    }

    /// The offset of the newest message, held or not; 0 before the first.
    pub fn newest(&self) -> Offset {
        self.newest
    }

    /// When the oldest message held was appended.
    pub fn oldest_stored_at(&self) -> Option<Instant> {
        self.held.front().map(|oldest| oldest.stored_at)
    }

    /// How many messages are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether no message is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The bytes of the messages held, as they were given.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to a history, with the seconds that pass before it.
    #[derive(Debug, Clone)]
    enum Step {
        Append { bytes: u64, limits: HistoryLimits },
        Trim { limits: HistoryLimits },
        DropOldest,
        Read { age: Duration },
    }

    fn limits() -> impl Strategy<Value = HistoryLimits> {
        (0..6_usize, 0..60_u64, 0..20_u64).prop_map(|(messages, bytes, age)| HistoryLimits {
            messages,
            bytes,
            age: Duration::from_secs(age),
        })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..20_u64, limits()).prop_map(|(bytes, limits)| Step::Append { bytes, limits }),
            1 => limits().prop_map(|limits| Step::Trim { limits }),
            1 => Just(Step::DropOldest),
            2 => (0..20_u64).prop_map(|age| Step::Read { age: Duration::from_secs(age) }),
        ]
    }

    /// Remembers everything, and drops by the words of the rules.
    #[derive(Default)]
    struct Model {
        all: Vec<(u64, Instant)>,
        dropped: usize,
    }

    impl Model {
        fn bytes(&self) -> u64 {
            self.all[self.dropped..]
                .iter()
                .map(|&(bytes, _)| bytes)
                .sum()
        }

        fn trim(&mut self, now: Instant, limits: HistoryLimits) {
            let fits = |dropped: usize| {
                let held = &self.all[dropped..];
                held.len() <= limits.messages
                    && held.iter().map(|&(bytes, _)| bytes).sum::<u64>() <= limits.bytes
                    && held.iter().all(|&(_, at)| now - at < limits.age)
            };
            let kept = (self.dropped..=self.all.len()).find(|&dropped| fits(dropped));
            self.dropped = kept.expect("nothing always fits");
        }

        fn readable(&self, now: Instant, age: Duration) -> Vec<u64> {
            let held = self.dropped..self.all.len();
            held.filter(|&index| now - self.all[index].1 < age)
                .map(|index| index as u64 + 1)
                .collect()
        }
    }

    fn check_reads(history: &History<u64>, readable: &[u64], now: Instant, age: Duration) {
        let view = history.as_of(now, age);
        let newest = history.newest().0;
        for since in 0..=newest + 2 {
            let expected: Vec<_> = readable.iter().copied().filter(|&o| o > since).collect();
            let reaches_back = since <= newest && expected.len() as u64 == newest - since;
            let after = view
                .after(Offset(since))
                .map(|found| found.copied().collect());
            assert_eq!(after, reaches_back.then_some(expected), "after {since}");
            let older: Vec<_> = readable.iter().copied().filter(|&o| o < since).collect();
            for limit in 0..=readable.len() + 1 {
                let expected = &older[older.len() - limit.min(older.len())..];
                let before: Vec<_> = view.before(Offset(since), limit).copied().collect();
                assert_eq!(before, expected, "{limit} before {since}");
            }
        }
        for limit in 0..=readable.len() + 1 {
            let expected = &readable[readable.len() - limit.min(readable.len())..];
            let found: Vec<_> = view.newest(limit).copied().collect();
            assert_eq!(found, expected, "newest {limit}");
        }
        assert_eq!(
            (view.len(), view.is_empty()),
            (readable.len(), readable.is_empty())
        );
    }

    proptest! {
        #[test]
        fn a_history_holds_what_the_naive_model_holds(
            steps in prop::collection::vec((0..8_u64, step()), 1..60)
        ) {
            let (mut history, mut model) = (History::default(), Model::default());
            let mut now = Instant::now();
            for (seconds, step) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    Step::Append { bytes, limits } => {
                        model.all.push((bytes, now));
                        model.trim(now, limits);
                        history.append(model.all.len() as u64, bytes, now, limits);
                    }
                    Step::Trim { limits } => {
                        model.trim(now, limits);
                        history.trim(now, limits);
                    }
                    Step::DropOldest => {
                        let some = model.dropped < model.all.len();
                        model.dropped += usize::from(some);
                        prop_assert_eq!(history.drop_oldest(), some.then_some(model.dropped as u64));
                    }
                    Step::Read { age } => {
                        check_reads(&history, &model.readable(now, age), now, age);
                    }
                }
                prop_assert_eq!(history.newest(), Offset(model.all.len() as u64));
                prop_assert_eq!(history.len(), model.all.len() - model.dropped);
                prop_assert_eq!(history.is_empty(), model.dropped == model.all.len());
                prop_assert_eq!(history.bytes(), model.bytes());
                let oldest = model.all.get(model.dropped).map(|&(_, at)| at);
                prop_assert_eq!(history.oldest_stored_at(), oldest);
            }
        }
    }

    #[test]
    fn an_expired_message_is_not_read_even_when_nobody_trimmed() {
        let mut history = History::default();
        let start = Instant::now();
        let limits = HistoryLimits::default();
        history.append("old", 1, start, limits);
        history.append("new", 1, start + Duration::from_secs(1), limits);
        let view = history.as_of(start + limits.age, limits.age);
        assert_eq!(view.newest(10).copied().collect::<Vec<_>>(), ["new"]);
        assert!(view.after(Offset(0)).is_none());
        assert_eq!(history.len(), 2);
    }

    #[test]
    fn many_expired_messages_are_dropped_a_slice_at_a_time() {
        let (mut history, start) = (History::default(), Instant::now());
        let limits = HistoryLimits {
            messages: usize::MAX,
            ..HistoryLimits::default()
        };
        for number in 0..3 * EXPIRED_AT_ONCE {
            history.append(number, 1, start, limits);
        }
        let later = start + limits.age;
        history.append(0, 1, later, limits);
        assert_eq!(history.len(), 2 * EXPIRED_AT_ONCE + 1);
        assert_eq!(history.as_of(later, limits.age).len(), 1);
        assert_eq!(history.as_of(later, limits.age).bytes(), 1);
    }

    #[test]
    fn a_message_larger_than_the_limit_takes_its_place_and_is_not_held() {
        let mut history = History::default();
        let limits = HistoryLimits {
            bytes: 10,
            ..HistoryLimits::default()
        };
        let now = Instant::now();
        history.append("small", 5, now, limits);
        history.append("large", 11, now, limits);
        assert_eq!((history.newest(), history.len()), (Offset(2), 0));
        assert!(history.as_of(now, limits.age).after(Offset(1)).is_none());
        assert!(history.as_of(now, limits.age).after(Offset(2)).is_some());
    }
}
