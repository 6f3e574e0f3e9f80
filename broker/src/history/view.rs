//! What can be read of a history at one moment.

use widecast_protocol::Offset;

use super::ring::History;

/// The messages of a history that have not expired. All iterators go oldest first, and can be reversed.
#[derive(Debug)]
pub struct HistoryView<'a, T> {
    history: &'a History<T>,
    /// How many at the front have expired.
    expired: usize,
}

impl<'a, T> HistoryView<'a, T> {
    pub(super) fn new(history: &'a History<T>, expired: usize) -> Self {
        Self { history, expired }
    }

    /// How many messages there are after `offset`; `None` when some of them are no longer here, or when `offset` is yet
    /// to come.
    pub fn missed(&self, offset: Offset) -> Option<usize> {
        let missed = self.history.newest().0.checked_sub(offset.0)?;
        let missed = usize::try_from(missed).ok()?;
        (missed <= self.len()).then_some(missed)
    }

    /// The messages after `offset`, where [`HistoryView::missed`] knows how many.
    pub fn after(
        &self,
        offset: Offset,
    ) -> Option<impl DoubleEndedIterator<Item = &'a T> + use<'a, T>> {
        self.missed(offset).map(|missed| self.newest(missed))
    }

    /// The newest `limit` messages.
    pub fn newest(&self, limit: usize) -> impl DoubleEndedIterator<Item = &'a T> + use<'a, T> {
        self.before(self.history.newest().next(), limit)
    }

    /// The newest `limit` of the messages before `offset`.
    pub fn before(
        &self,
        offset: Offset,
        limit: usize,
    ) -> impl DoubleEndedIterator<Item = &'a T> + use<'a, T> {
        // How many of the newest are not asked for: those from `offset` on.
        let skipped = self.history.newest().next().0.saturating_sub(offset.0);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let held = &self.history.held;
        let end = held.len().saturating_sub(skipped).max(self.expired);
        let start = end.saturating_sub(limit).max(self.expired);
        held.range(start..end).map(|held| &held.message)
    }

    /// The bytes of the messages, as they were given.
    pub fn bytes(&self) -> u64 {
        let expired = self.history.held.range(..self.expired);
        self.history.bytes() - expired.map(|held| held.bytes).sum::<u64>()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.history.len() - self.expired
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
