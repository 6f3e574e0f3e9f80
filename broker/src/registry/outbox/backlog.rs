//! The items that wait to be written to one client, in their order: a queue with a size in bytes, from which messages can be
//! dropped.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use widecast_protocol::{ChannelName, CursorVector, Position};

use super::droppable::Droppable;
use super::form::OutboxForm;
use super::item::{Item, size_with};
use super::told_places::ToldPlaces;

/// How many items one write takes at the most. More would save nothing: a write of k items costs 3.4 + 0.14·k µs.
const ITEMS_PER_WRITE: usize = 32;

/// For how many items an empty backlog keeps room: an idle session costs no more than that, and its next message needs no
/// allocation.
const IDLE_CAPACITY: usize = 4;

/// How many bytes wait for one client.
#[derive(Debug, Clone, Copy)]
pub(in crate::registry) struct Size {
    /// The bytes of all items, with their overhead.
    pub(in crate::registry) bytes: usize,
    /// The bytes of the answers, those that are written of the first one included.
    pub(in crate::registry) owed: usize,
}

/// The items that wait for one client.
pub(in crate::registry) struct Backlog {
    items: VecDeque<Item>,
    bytes: usize,
    /// The bytes of the answers; one of which a part is written counts as a whole, because all of it is still there.
    owed: usize,
    /// How many of these belong to answers that are larger than half of the bound.
    owed_large: usize,
    /// How many bytes of the answer in front are written.
    begun: usize,
    /// Half of the bound in bytes.
    half: usize,
    form: OutboxForm,
    /// The client's place in each channel; kept only if the client is told it, in cursors of several channels or in answers to
    /// polls, and in a stream of one channel from the client's first message on.
    places: Option<Box<ToldPlaces>>,
    /// The index of what can be dropped; made when something has to be.
    droppable: Option<Box<Droppable>>,
}

impl Backlog {
    /// An empty one, whose answers are bounded by `limit` bytes.
    pub(in crate::registry) fn new(form: OutboxForm, limit: usize) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            owed: 0,
            owed_large: 0,
            begun: 0,
            half: limit / 2,
            form,
            places: form.keeps_places().then(Box::default),
            droppable: None,
        }
    }

    /// The bytes of all items, with their overhead.
    pub(in crate::registry) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of the answers that are not written as a whole.
    pub(in crate::registry) fn owed(&self) -> usize {
        self.owed
    }

    /// Both sizes together.
    pub(in crate::registry) fn size(&self) -> Size {
        Size {
            bytes: self.bytes,
            owed: self.owed,
        }
    }

    pub(in crate::registry) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The places of the client once it has received everything that has left the backlog.
    pub(in crate::registry) fn told(&self) -> CursorVector {
        let places = self.places.as_ref();
        places.map_or_else(CursorVector::new, |places| places.told().clone())
    }

    /// The client begins to hear a channel after `position`.
    pub(in crate::registry) fn begin_at(&mut self, channel: &ChannelName, position: Position) {
        if let Some(places) = &mut self.places {
            places.tell(channel, position);
        }
    }

    /// Whether each message has to be kept with its place until it is written.
    pub(in crate::registry) fn keeps_places(&self) -> bool {
        self.places.is_some()
    }

    /// A message is not sent to the client, because the client has published it itself.
    pub(in crate::registry) fn pass(&mut self, channel: &ChannelName, position: Position) {
        let places = self.places.get_or_insert_default();
        if self.items.is_empty() {
            places.pass_unsaid(channel, position);
        } else {
            places.pass(channel, position);
        }
    }

    /// What tells the client its place, if nothing waits, and nothing that was written has told it.
    pub(in crate::registry) fn take_unsaid(&mut self) -> Option<Bytes> {
        let places = self.places.as_mut().filter(|_| self.items.is_empty())?;
        self.form.place(places.take_unsaid()?)
    }

    pub(in crate::registry) fn push(&mut self, item: Item) {
        if let Some(droppable) = &mut self.droppable {
            droppable.pushed(self.items.len(), &item);
        }
        if let (Some(places), Some((channel, _))) = (&mut self.places, item.place()) {
            places.overtake(channel);
        }
        self.count(&item);
        self.items.push_back(item);
    }

    /// Puts a newer pong in the place of the one that waits last; returns false if something else waits last.
    pub(in crate::registry) fn replace_pong(&mut self, newer: &Bytes) -> bool {
        let Some(Item::Pong(pong)) = self.items.back_mut() else {
            return false;
        };
        let older = std::mem::replace(pong, newer.clone());
        let newer = Item::Pong(newer.clone());
        self.uncount(&Item::Pong(older), 0);
        self.count(&newer);
        true
    }

    /// Whether an item of `bytes` keeps to the limit. An item that is larger than the limit itself fits when nothing else
    /// waits.
    pub(in crate::registry) fn fits(&self, bytes: usize, limit: usize) -> bool {
        self.bytes == 0 || self.bytes + size_with(bytes) <= limit
    }

    /// Whether an answer of `bytes` is taken. Messages do not take the room of answers, because a client can have messages
    /// again, but not answers. However large it is, an answer is taken when few others wait. A large one does not take the room of those that
    /// come behind it, of which the client may have asked for none: heartbeats, and the news of who came and went.
    pub(in crate::registry) fn fits_answer(&self, bytes: usize, limit: usize) -> bool {
        let size = size_with(bytes);
        let others = if size > self.half {
            self.owed
        } else {
            self.owed - self.owed_large
        };
        others <= self.half || others + size <= limit
    }

    /// Counts an item that waits from now on.
    fn count(&mut self, item: &Item) {
        self.bytes += item.size();
        self.add_owed(item.owed(), 0);
    }

    /// Counts an item no more, of which `begun` bytes are written.
    fn uncount(&mut self, item: &Item, begun: usize) {
        self.bytes -= item.size();
        let owed = item.owed() + begun;
        self.owed -= owed;
        if owed > self.half {
            self.owed_large -= owed;
        }
    }

    /// An answer waits, of which `begun` bytes are written.
    fn add_owed(&mut self, waiting: usize, begun: usize) {
        let owed = waiting + begun;
        self.owed += owed;
        if owed > self.half {
            self.owed_large += owed;
        }
    }

    /// Drops messages until an item of `bytes` fits, if that is possible, and returns how many were dropped. Under the
    /// policy `latest`, messages that are followed by a newer one go first; then the oldest go.
    pub(in crate::registry) fn make_room(&mut self, bytes: usize, limit: usize) -> usize {
        let droppable = self.droppable.take();
        let mut droppable = droppable.unwrap_or_else(|| Box::new(Droppable::of(&self.items)));
        let mut dropped = 0;
        while let Some(number) = droppable.next_superseded() {
            dropped += self.drop_one(&mut droppable, number);
        }
        while !self.fits(bytes, limit)
            && let Some(number) = droppable.next_oldest(&self.items)
        {
            dropped += self.drop_one(&mut droppable, number);
        }
        if droppable.is_mostly_gone(self.items.len()) {
            self.items.retain(|item| !matches!(item, Item::Gone));
            *droppable = Droppable::of(&self.items);
        }
        self.droppable = Some(droppable);
        dropped
    }

    /// Takes everything in one walk: no size or number has to be right in between.
    pub(in crate::registry) fn take(&mut self) -> Vec<Bytes> {
        let mut heads = self.heads(self.items.len()).into_iter();
        let mut taken = Vec::with_capacity(self.items.len());
        for item in self.items.drain(..) {
            let head = self.form.next_head(&item, &mut heads);
            if let (Some(places), Some((channel, position))) = (&mut self.places, item.place()) {
                places.tell(channel, position);
            }
            let bytes = joined(head, item.into_bytes());
            if !bytes.is_empty() {
                taken.push(bytes);
            }
        }
        if let Some(places) = &mut self.places {
            places.tell_passed(true);
        }
        self.nothing_waits();
        self.rest();
        taken
    }

    fn nothing_waits(&mut self) {
        (self.bytes, self.owed, self.owed_large, self.begun) = (0, 0, 0, 0);
    }

    /// Throws everything away; the client stays where it is.
    pub(in crate::registry) fn clear(&mut self) {
        if let Some(places) = &mut self.places {
            places.forget_passed();
        }
        self.items = VecDeque::new();
        self.nothing_waits();
        self.droppable = None;
    }

    /// Lets `write` take the items in front, and forgets as many bytes as it says it took.
    ///
    /// # Errors
    /// Those of `write`.
    pub(in crate::registry) fn write(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let count = self.items.len().min(ITEMS_PER_WRITE);
        let heads = self.heads(count);
        let mut slices = [IoSlice::new(&[]); 2 * ITEMS_PER_WRITE];
        let mut used = 0;
        let mut add = |bytes| {
            slices[used] = IoSlice::new(bytes);
            used += 1;
        };
        let mut next_head = heads.iter();
        for item in self.items.iter().take(count) {
            if self.form.has_head(item) {
                next_head.next().into_iter().for_each(|head| add(head));
            }
            if !item.bytes().is_empty() {
                add(item.bytes());
            }
        }
        let written = write(&slices[..used])?;
        self.forget(count, heads, written);
        Ok(written)
    }

    /// The parts of the first `count` items that are made only when they are written, in their order: gaps, and the cursors
    /// of several channels.
    fn heads(&self, count: usize) -> Vec<Bytes> {
        let items = || self.items.iter().take(count);
        if !items().any(|item| self.form.has_head(item)) {
            return Vec::new();
        }
        let places = self.places.as_ref().filter(|_| self.form.has_vector());
        let mut at = places.map_or_else(CursorVector::new, |places| places.told().clone());
        let mut heads = Vec::with_capacity(count);
        for (index, item) in items().enumerate() {
            if let (Some(places), Some((channel, position))) = (places, item.place()) {
                at.set(channel, position);
                if index + 1 == self.items.len() {
                    places.behind_the_last(&mut at);
                }
            }
            heads.extend(self.form.head(item, &at));
        }
        heads
    }

    /// Removes `written` bytes of the first `count` items. Nothing behind them has been written, nor told.
    fn forget(&mut self, count: usize, heads: Vec<Bytes>, mut written: usize) {
        let mut heads = heads.into_iter();
        for _ in 0..count {
            let Some(front) = self.items.front() else {
                break;
            };
            let head = self.form.next_head(front, &mut heads);
            let length = head.len() + front.bytes().len();
            if written < length {
                if written > 0 {
                    self.begin(&head, written);
                }
                break;
            }
            written -= length;
            self.pop_front();
        }
        while matches!(self.items.front(), Some(Item::Gone)) {
            self.pop_front();
        }
        self.rest();
    }

    /// The kernel has taken `written` bytes of the item in front: its remaining bytes must follow unchanged.
    fn begin(&mut self, head: &Bytes, written: usize) {
        let Some(front) = self.items.front_mut() else {
            return;
        };
        let item = std::mem::replace(front, Item::Gone);
        if let Some(droppable) = &mut self.droppable {
            droppable.begun(&item);
        }
        let begun = self.begun;
        self.settle(&item, self.items.len() == 1);
        let is_owed = item.owed() > 0;
        let bytes = item.into_bytes();
        let length = bytes.len();
        let rest = match written.checked_sub(head.len()) {
            Some(written) => bytes.slice(written..),
            None => joined(head.slice(written..), bytes),
        };
        if is_owed {
            // Nothing stands before an answer, so that all that is written is of it.
            self.begun = begun + (length - rest.len());
            let rest = Item::Answer(rest);
            self.bytes += rest.size();
            self.add_owed(rest.owed(), self.begun);
            self.items[0] = rest;
        } else {
            let rest = Item::Frame(rest);
            self.count(&rest);
            self.items[0] = rest;
        }
    }

    fn pop_front(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if let Some(droppable) = &mut self.droppable {
            droppable.left(&item);
        }
        self.settle(&item, self.items.is_empty());
        Some(item)
    }

    /// Counts an item as told: its bytes no longer wait, and the client's place moves past it.
    fn settle(&mut self, item: &Item, is_last: bool) {
        let begun = std::mem::take(&mut self.begun);
        self.uncount(item, begun);
        let Some(places) = &mut self.places else {
            return;
        };
        let place = item.place();
        if let Some((channel, position)) = place {
            places.say(channel, position);
        }
        if is_last {
            // The last cursor of several channels reaches past the client's own messages.
            places.tell_passed(place.is_some() && self.form.has_vector());
        }
    }

    /// Gives memory back when nothing waits.
    fn rest(&mut self) {
        if !self.items.is_empty() {
            return;
        }
        self.droppable = None;
        if self.items.capacity() > IDLE_CAPACITY {
            self.items = VecDeque::new();
        }
    }

    /// Drops a message, if it may be dropped and still waits; says how many that were. The gap is told where the first of
    /// several is missing: before anything else that waits behind it.
    fn drop_one(&mut self, droppable: &mut Droppable, number: usize) -> usize {
        let item = droppable
            .index(number)
            .and_then(|index| self.items.get_mut(index));
        let Some(item) = item.filter(|item| item.may_be_dropped()) else {
            return 0;
        };
        let dropped = std::mem::replace(item, Item::Gone);
        self.bytes -= dropped.size();
        let (Some(lane), Some((channel, cursor))) = (dropped.lane(), dropped.place()) else {
            return 0;
        };
        let telling = droppable.dropped(lane, number);
        let covered = telling.absorbed.and_then(|number| {
            let absorbed = self.items.get_mut(droppable.index(number)?)?;
            std::mem::replace(absorbed, Item::Gone)
                .place()
                .map(|(_, cursor)| cursor)
        });
        let gap = Item::Gap {
            channel: channel.clone(),
            cursor: covered.unwrap_or(cursor),
            lane,
        };
        if let Some(index) = droppable.index(telling.gap) {
            self.items[index] = gap;
        }
        1
    }
}

/// Two parts in one piece, without a copy if one of them is empty.
fn joined(head: Bytes, tail: Bytes) -> Bytes {
    match (head.is_empty(), tail.is_empty()) {
        (true, _) => tail,
        (_, true) => head,
        _ => [head, tail].concat().into(),
    }
}
