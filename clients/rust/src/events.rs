//! The reader's side of a subscription or session: its events, and how far it has come.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use indexmap::IndexMap;
use tokio::task::JoinHandle;
use widecast_protocol::{ChannelName, Cursor, CursorVector, Position};

use crate::error::Error;
use crate::event::Event;
use crate::queue::{Place, Reading};

/// The events of a subscription or session, in order.
///
/// It is a [`Stream`], and [`next`](Self::next) reads it without a further trait. An error is its last item: the client
/// connects again by itself after every cut, and ends only when the broker refuses for good.
///
/// Some events are read ahead, at most about one mebibyte of them. When the reader is slower than that, the connection is read no
/// further, and the broker does what the channel's namespace says of slow consumers; by default nothing is lost.
///
/// Dropping it ends the subscription or session, and its connection. A session of polls has no connection that could end: the
/// broker keeps it until nobody has polled for one to two minutes.
#[derive(Debug)]
pub struct Events {
    reading: Reading,
    places: Places,
    /// What reads the network; it ends with this.
    task: JoinHandle<()>,
}

/// How far the reader has come in each channel.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The place in all channels together, where the transport tells only that.
    pub(crate) whole: Option<String>,
    /// The places in single channels.
    pub(crate) channels: IndexMap<ChannelName, Position>,
}

impl Places {
    fn take(&mut self, place: Place) {
        match place {
            Place::Same => {}
            Place::Whole(cursor) => self.whole = Some(cursor),
            Place::In(channel, position) => {
                self.channels.insert(channel, position);
            }
            Place::Left(channel) => {
                self.channels.shift_remove(&channel);
            }
        }
    }

    fn cursor(&self) -> Option<String> {
        if let Some(whole) = &self.whole {
            return Some(whole.clone());
        }
        let mut vector = CursorVector::new();
        for (channel, &position) in &self.channels {
            vector.set(channel, position);
        }
        let only = self.channels.first().filter(|_| self.channels.len() == 1);
        let cursor = match only {
            Some((_, &position)) => Cursor::One(position),
            None if self.channels.is_empty() => return None,
            None => Cursor::Several(vector),
        };
        Some(cursor.to_string())
    }
}

impl Events {
    pub(crate) fn new(reading: Reading, places: Places, task: JoinHandle<()>) -> Self {
        Self {
            reading,
            places,
            task,
        }
    }

    /// The next event. Cancel safe: what is not returned is returned the next time.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// The place behind the last event that was read, in all channels: what a later subscription to the same channels can
    /// begin from ([`Subscribe::cursor`](crate::Subscribe::cursor)). A session that has joined no channel has none.
    pub fn cursor(&self) -> Option<String> {
        self.places.cursor()
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            let Some(item) = ready!(self.reading.poll_next(context)) else {
                return Poll::Ready(None);
            };
            self.places.take(item.place);
            if let Some(event) = item.event {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_event(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    #[test]
    fn the_cursor_covers_every_channel_that_is_heard() {
        let name = |text: &str| ChannelName::parse(text).unwrap();
        let mut places = Places::default();
        assert_eq!(places.cursor(), None);
        places.take(Place::In(name("a"), position("e-1")));
        assert_eq!(places.cursor().as_deref(), Some("e-1"));
        places.take(Place::In(name("b"), position("f-2")));
        places.take(Place::In(name("a"), position("e-3")));
        assert_eq!(places.cursor().as_deref(), Some("a=e-3,b=f-2"));
        places.take(Place::Left(name("a")));
        assert_eq!(places.cursor().as_deref(), Some("f-2"));
        places.take(Place::Whole("x-1".to_owned()));
        assert_eq!(places.cursor().as_deref(), Some("x-1"));
    }
}
