//! The names of the channels in use, in order, so that listing a page does not walk over all of them.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use widecast_protocol::ChannelName;

use crate::engine::reading::ChannelQuery;

/// A sorted set of names. Its lock is a leaf, taken when a channel comes into use or falls out of it.
#[derive(Debug, Default)]
pub(super) struct ChannelIndex(Mutex<BTreeSet<ChannelName>>);

impl ChannelIndex {
    fn names(&self) -> MutexGuard<'_, BTreeSet<ChannelName>> {
        // No code that can panic runs under the lock, so the set is whole in any case.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, channel: ChannelName) {
        self.names().insert(channel);
    }

    pub(super) fn remove(&self, channel: &ChannelName) {
        self.names().remove(channel);
    }

    /// The names that the query asks for.
    pub(super) fn page(&self, query: &ChannelQuery) -> Vec<ChannelName> {
        let prefix = query.prefix.as_str();
        let start = match query.after.as_ref().map(ChannelName::as_str) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.names()
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|name| name.as_str().starts_with(prefix))
            .take(query.limit)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(
        channel_index: &ChannelIndex,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<String> {
        let query = ChannelQuery {
            prefix: prefix.to_owned(),
            after: after.map(|name| ChannelName::parse(name).unwrap()),
            limit,
        };
        let names = channel_index.page(&query);
        names.iter().map(ChannelName::to_string).collect()
    }

    #[test]
    fn a_page_starts_after_the_last_and_ends_with_the_prefix() {
        let channel_index = ChannelIndex::default();
        for name in ["b:2", "a:1", "b:1", "c", "b:3", "b"] {
            channel_index.add(ChannelName::parse(name).unwrap());
        }
        assert_eq!(page(&channel_index, "b:", None, 2), ["b:1", "b:2"]);
        assert_eq!(page(&channel_index, "b:", Some("b:2"), 2), ["b:3"]);
        assert_eq!(page(&channel_index, "b:", Some("a:1"), 1), ["b:1"]);
        assert_eq!(page(&channel_index, "b:", Some("c"), 1), [""; 0]);
        assert_eq!(page(&channel_index, "", None, 9).len(), 6);
        channel_index.remove(&ChannelName::parse("c").unwrap());
        assert_eq!(page(&channel_index, "c", None, 9), [""; 0]);
    }
}
