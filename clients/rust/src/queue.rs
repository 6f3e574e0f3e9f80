//! The events that wait to be read, bounded in bytes. Whoever adds events asks for room before it reads more from the
//! network, so that nothing is dropped, and a slow reader slows its connection down instead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use widecast_protocol::{ChannelName, Position};

use crate::error::Error;
use crate::event::Event;

/// How many bytes may wait: as many as the broker lets wait for one subscriber.
pub(crate) const ROOM_BYTES: usize = 1024 * 1024;
/// How much more than its data an event counts.
const EVENT_BYTES: usize = 256;

/// An event, or the error that ends all, with the place behind it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) event: Option<Result<Event, Error>>,
    pub(crate) place: Place,
}

/// How far the reader has come once it has an event.
#[derive(Debug)]
pub(crate) enum Place {
    /// No further than before.
    Same,
    /// The place in all channels together.
    Whole(String),
    /// The place in one of the channels.
    In(ChannelName, Position),
    /// The channel is no longer heard, so it has no place.
    Left(ChannelName),
}

impl Place {
    /// Whether both are places in the same channel, or in all channels together.
    fn is_about_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(_), Self::Whole(_)) => true,
            (Self::In(channel, _), Self::In(other, _)) => channel == other,
            _ => false,
        }
    }
}

impl Item {
    /// An event that is at no other place than the one before it.
    pub(crate) fn here(event: Event) -> Self {
        let place = Place::Same;
        Self::at(event, place)
    }

    /// An event with the place behind it.
    pub(crate) fn at(event: Event, place: Place) -> Self {
        let event = Some(Ok(event));
        Self { event, place }
    }

    /// A place that the reader has come to without an event.
    pub(crate) fn place(place: Place) -> Self {
        Self { event: None, place }
    }

    /// The error that ends all.
    pub(crate) fn last(error: Error) -> Self {
        let event = Some(Err(error));
        let place = Place::Same;
        Self { event, place }
    }

    /// How many bytes it counts.
    fn bytes(&self) -> usize {
        let data = match &self.event {
            Some(Ok(Event::Message(message))) => message.data.get().len(),
            Some(Ok(Event::Direct(message))) => message.data.get().len(),
            _ => 0,
        };
        let place = match &self.place {
            Place::Whole(cursor) => cursor.len(),
            _ => 0,
        };
        EVENT_BYTES + data + place
    }
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    /// Nobody adds any more.
    is_ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    added: AtomicWaker,
    taken: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where events are added. Dropping it ends the events.
#[derive(Debug)]
pub(crate) struct Queue(Arc<Shared>);

/// Where events are read.
#[derive(Debug)]
pub(crate) struct Reading(Arc<Shared>);

/// A queue without events.
pub(crate) fn queue() -> (Queue, Reading) {
    let shared = Arc::new(Shared::default());
    (Queue(Arc::clone(&shared)), Reading(shared))
}

impl Queue {
    /// Adds an event. It is never refused: whoever adds has asked for room before.
    pub(crate) fn push(&self, item: Item) {
        let mut waiting = self.0.lock();
        waiting.bytes += item.bytes();
        waiting.items.push_back(item);
        drop(waiting);
        self.0.added.wake();
    }

    /// The reader comes to a place without an event. Of the places that wait behind the last event, only the newest of each channel
    /// counts: so a reader that reads nothing has no more of them waiting than there are channels.
    pub(crate) fn move_to(&self, place: Place) {
        let mut waiting = self.0.lock();
        let items = waiting.items.iter().enumerate().rev();
        let mut places = items.take_while(|(_, item)| item.event.is_none());
        let older = places.find(|(_, item)| item.place.is_about_the_same(&place));
        let older = older.map(|(index, _)| index);
        if let Some(older) = older.and_then(|index| waiting.items.remove(index)) {
            waiting.bytes -= older.bytes();
        }
        drop(waiting);
        self.push(Item::place(place));
    }

    /// Adds events before all that wait.
    pub(crate) fn push_before(&self, items: Vec<Item>) {
        let mut waiting = self.0.lock();
        for item in items.into_iter().rev() {
            waiting.bytes += item.bytes();
            waiting.items.push_front(item);
        }
        drop(waiting);
        self.0.added.wake();
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Waits until fewer bytes wait than this.
    pub(crate) async fn room(&self, bytes: usize) {
        while self.bytes() >= bytes {
            // An event that is taken between the look and this wait has left a permit.
            self.0.taken.notified().await;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.lock().is_ended = true;
        self.0.added.wake();
    }
}

impl Reading {
    /// The next event, or nothing once all have been read and no more come.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.0.added.register(context.waker());
        let mut waiting = self.0.lock();
        match waiting.items.pop_front() {
            Some(item) => {
                waiting.bytes -= item.bytes();
                drop(waiting);
                self.0.taken.notify_one();
                Poll::Ready(Some(item))
            }
            None if waiting.is_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn item() -> Item {
        Item::here(Event::Reconnected)
    }

    #[tokio::test]
    async fn room_comes_when_events_are_read() {
        let (queue, reading) = queue();
        queue.push(item());
        queue.push(item());
        let room = queue.room(2 * EVENT_BYTES);
        tokio::pin!(room);
        let is_full = poll_fn(|context| Poll::Ready(room.as_mut().poll(context).is_pending()));
        assert!(is_full.await);
        let taken = poll_fn(|context| reading.poll_next(context)).await;
        assert!(taken.is_some());
        room.await;
    }

    #[tokio::test]
    async fn the_past_is_read_before_what_waits_already() {
        let (queue, reading) = queue();
        queue.push(Item::place(Place::Whole("3".to_owned())));
        let past = ["1", "2"].map(|cursor| Item::place(Place::Whole(cursor.to_owned())));
        queue.push_before(past.into());
        for expected in ["1", "2", "3"] {
            let item = poll_fn(|context| reading.poll_next(context)).await.unwrap();
            assert!(matches!(item.place, Place::Whole(cursor) if cursor == expected));
        }
        assert_eq!(queue.bytes(), 0);
    }

    #[tokio::test]
    async fn places_that_nobody_reads_do_not_pile_up() {
        let (queue, reading) = queue();
        let at = |channel: &str, offset: u64| {
            let position = Position::parse(&format!("e-{offset}")).unwrap();
            Place::In(ChannelName::parse(channel).unwrap(), position)
        };
        queue.push(Item::at(Event::Reconnected, at("a", 1)));
        for offset in 2..1000 {
            queue.move_to(at("a", offset));
            queue.move_to(at("b", offset));
        }
        assert_eq!(queue.bytes(), 3 * EVENT_BYTES);
        let mut read = Vec::new();
        for _ in 0..3 {
            let item = poll_fn(|context| reading.poll_next(context)).await.unwrap();
            if let Place::In(channel, position) = item.place {
                read.push(format!("{channel} {position}"));
            }
        }
        assert_eq!(read, ["a e-1", "a e-999", "b e-999"]);
        assert_eq!(queue.bytes(), 0);
    }

    #[tokio::test]
    async fn events_that_were_added_are_read_to_the_end() {
        let (queue, reading) = queue();
        queue.push(item());
        drop(queue);
        assert!(
            poll_fn(|context| reading.poll_next(context))
                .await
                .is_some()
        );
        assert!(
            poll_fn(|context| reading.poll_next(context))
                .await
                .is_none()
        );
    }
}
