//! Finds which of the waiting messages can be dropped, and which gap tells of them, without a walk over all that waits.
//!
//! The index is made from all waiting items at the first overflow, and kept until nothing waits: a client that reads fast
//! enough costs nothing. Each step after that is constant work, if the pushes before it are counted in.

use std::collections::{HashMap, VecDeque};

use crate::config::SlowConsumerPolicy;

use super::item::{Item, Lane};

/// An index of the items that wait. The items are numbered: the front item has the number `front`, and each item behind it
/// has the next.
#[derive(Default)]
pub(in crate::registry) struct Droppable {
    front: usize,
    lanes: HashMap<Lane, Chain>,
    /// Messages under `latest` that are followed by newer ones of their lane, unless they have been written since.
    superseded: VecDeque<usize>,
    /// The number before which no message waits that may be dropped.
    oldest: usize,
    /// How many items are `Gone`.
    gone: usize,
}

/// The gaps and droppable messages of a lane in their order, from behind the last message that may not be dropped.
#[derive(Default)]
struct Chain {
    entries: VecDeque<Entry>,
    /// The newest message.
    newest: Option<usize>,
}

#[derive(Clone, Copy)]
struct Entry {
    number: usize,
    is_gap: bool,
}

/// How the client is told of a dropped message.
pub(in crate::registry) struct Telling {
    /// The number of the item that becomes the gap: that of the dropped message, or of an earlier gap that now reaches
    /// further.
    pub(in crate::registry) gap: usize,
    /// The number of a later gap that is covered by this one and goes.
    pub(in crate::registry) absorbed: Option<usize>,
}

impl Droppable {
    pub(in crate::registry) fn of(items: &VecDeque<Item>) -> Self {
        let mut it = Self::default();
        for (index, item) in items.iter().enumerate() {
            it.pushed(index, item);
        }
        it
    }

    /// An item has been pushed behind `waiting` others.
    pub(in crate::registry) fn pushed(&mut self, waiting: usize, item: &Item) {
        let number = self.front + waiting;
        match item {
            Item::Message { lane, policy, .. } if *policy == SlowConsumerPolicy::Disconnect => {
                // A message that is lost behind this item must not be told of before it.
                self.lanes.remove(lane);
            }
            Item::Message { lane, policy, .. } => {
                let chain = self.lanes.entry(*lane).or_default();
                chain.push(number, false);
                let older = chain.newest.replace(number);
                if *policy == SlowConsumerPolicy::Latest {
                    self.superseded.extend(older);
                }
            }
            Item::Gap { lane, .. } => self.lanes.entry(*lane).or_default().push(number, true),
            Item::Gone => self.gone += 1,
            Item::Frame(_) | Item::Answer(_) | Item::Pong(_) => {}
        }
    }

    /// The item in front has left.
    pub(in crate::registry) fn left(&mut self, item: &Item) {
        self.begun(item);
        self.front += 1;
        while self.superseded.front().is_some_and(|&old| old < self.front) {
            self.superseded.pop_front();
        }
    }

    /// The item in front can no longer be changed: part of it is written.
    pub(in crate::registry) fn begun(&mut self, item: &Item) {
        if matches!(item, Item::Gone) {
            self.gone -= 1;
        }
        let Some(lane) = item.lane() else { return };
        if let Some(chain) = self.lanes.get_mut(&lane) {
            chain.left(self.front);
            if chain.entries.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    /// The index of an item among those that wait, unless it has left.
    pub(in crate::registry) fn index(&self, number: usize) -> Option<usize> {
        number.checked_sub(self.front)
    }

    /// The next message to drop, because a newer one of its lane waits.
    pub(in crate::registry) fn next_superseded(&mut self) -> Option<usize> {
        self.superseded.pop_front()
    }

    /// The next message to drop, because it is the oldest.
    pub(in crate::registry) fn next_oldest(&mut self, items: &VecDeque<Item>) -> Option<usize> {
        self.oldest = self.oldest.max(self.front);
        while !items.get(self.oldest - self.front)?.may_be_dropped() {
            self.oldest += 1;
        }
        Some(self.oldest)
    }

    /// A message of a lane is dropped.
    pub(in crate::registry) fn dropped(&mut self, lane: Lane, number: usize) -> Telling {
        let telling = match self.lanes.get_mut(&lane) {
            Some(chain) => chain.dropped(number),
            None => Telling::by_itself(number),
        };
        self.gone += usize::from(telling.gap != number) + usize::from(telling.absorbed.is_some());
        telling
    }

    /// Whether so many items are gone that it pays to make the index anew.
    pub(in crate::registry) fn is_mostly_gone(&self, waiting: usize) -> bool {
        self.gone > waiting / 2
    }
}

impl Chain {
    fn push(&mut self, number: usize, is_gap: bool) {
        self.entries.push_back(Entry { number, is_gap });
    }

    fn left(&mut self, number: usize) {
        if self.is_at(0, number) {
            self.entries.pop_front();
        }
    }

    fn is_at(&self, index: usize, number: usize) -> bool {
        self.entries.get(index).map(|entry| entry.number) == Some(number)
    }

    fn gap_at(&self, index: usize) -> Option<usize> {
        let entry = self.entries.get(index).filter(|entry| entry.is_gap);
        entry.map(|entry| entry.number)
    }

    /// The messages of a lane are dropped from the oldest on: before a dropped message there is a gap, or nothing.
    fn dropped(&mut self, number: usize) -> Telling {
        let gap = match self.gap_at(0) {
            Some(gap) if self.is_at(1, number) => {
                self.entries.remove(1);
                gap
            }
            _ if self.is_at(0, number) => {
                self.entries[0].is_gap = true;
                number
            }
            _ => return Telling::by_itself(number),
        };
        let absorbed = self.gap_at(1);
        if absorbed.is_some() {
            self.entries.remove(1);
        }
        Telling { gap, absorbed }
    }
}

impl Telling {
    fn by_itself(number: usize) -> Self {
        Self {
            gap: number,
            absorbed: None,
        }
    }
}
