//! What can be read of a history at one moment.

use std::collections::VecDeque;

use widecast_protocol::Offset;

use super::ring::Held;

/// The messages of a history that have not expired. All iterators go oldest first, and can be reversed.
#[derive(Debug)]
pub struct HistoryView<'a, T> {
    held: &'a VecDeque<Held<T>>,
    /// How many at the front have expired.
    expired: usize,
    newest: Offset,
}

impl<'a, T> HistoryView<'a, T> {
    pub(super) fn new(held: &'a VecDeque<Held<T>>, expired: usize, newest: Offset) -> Self {
        Self {
            held,
            expired,
            newest,
        }
    }

    /// Every message after `offset`; `None` when some of them are no longer here, or when `offset` is yet to come.
    pub fn after(
        &self,
        offset: Offset,
    ) -> Option<impl DoubleEndedIterator<Item = &'a T> + use<'a, T>> {
        let missed = self.newest.0.checked_sub(offset.0)?;
        let missed = usize::try_from(missed).ok()?;
        (missed <= self.len()).then(|| self.newest(missed))
    }

    /// The newest `limit` messages.
    pub fn newest(&self, limit: usize) -> impl DoubleEndedIterator<Item = &'a T> + use<'a, T> {
        self.before(self.newest.next(), limit)
    }

    /// The newest `limit` of the messages before `offset`.
    pub fn before(
        &self,
        offset: Offset,
        limit: usize,
    ) -> impl DoubleEndedIterator<Item = &'a T> + use<'a, T> {
        // How many of the newest are not asked for: those from `offset` on.
        let skipped = self.newest.next().0.saturating_sub(offset.0);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let end = self.held.len().saturating_sub(skipped).max(self.expired);
        let start = end.saturating_sub(limit).max(self.expired);
        self.held.range(start..end).map(|held| &held.message)
    }

    /// All messages.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &'a T> + use<'a, T> {
        self.newest(self.len())
    }

    /// The bytes of the messages, as they were given.
    pub fn bytes(&self) -> u64 {
        self.held.range(self.expired..).map(|held| held.bytes).sum()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.held.len() - self.expired
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
