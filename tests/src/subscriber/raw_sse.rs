//! What a page has with `new EventSource(url)`.

use anyhow::{Context, Result, bail};

use super::event_stream::{Block, EventStream};
use crate::address::address;
use crate::broker::Broker;
use crate::heard::{Heard, Message, shown_as_text};
use crate::join::Join;

/// A plain event stream.
pub struct RawSse {
    events: EventStream,
    /// Read while joining, not heard yet.
    first: Option<Block>,
    cursor: Option<String>,
}

impl RawSse {
    /// Joins, with `Last-Event-ID` as an `EventSource` does when it reconnects.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn open(broker: &Broker, join: &Join) -> Result<Self> {
        let url = address(&broker.base(), &join.raw_path("sse"), &join.raw_query())?;
        let mut request = broker.http().get(url).header("accept", "text/event-stream");
        if let Some(cursor) = &join.cursor {
            request = request.header("last-event-id", cursor);
        }
        let response = request.send().await?;
        let status = response.status();
        if status != 200 {
            bail!("{status}: {}", response.text().await?);
        }
        let mut it = Self {
            events: EventStream::new(response),
            first: None,
            cursor: join.cursor.clone(),
        };
        // The stream begins with where it is, so that even a client that hears nothing can resume.
        while it.first.is_none() {
            let block = it
                .events
                .next()
                .await?
                .context("an event stream without a beginning")?;
            if block.data.is_some() {
                it.first = Some(block);
            } else if block.id.is_some() {
                it.cursor = block.id;
                break;
            }
        }
        Ok(it)
    }

    /// The next message, gap, or the end.
    ///
    /// # Errors
    /// When what comes is no event stream.
    pub async fn next(&mut self) -> Result<Heard> {
        loop {
            let next = match self.first.take() {
                Some(block) => Some(block),
                None => self.events.next().await?,
            };
            let Some(block) = next else {
                return Ok(Heard::end());
            };
            if let Some(heard) = self.take(block) {
                return Ok(heard);
            }
        }
    }

    fn take(&mut self, block: Block) -> Option<Heard> {
        if let Some(id) = block.id {
            self.cursor = Some(id);
        }
        let data = block.data?;
        if block.event.as_deref() == Some("widecast.gap") {
            return Some(Heard::Gap { channel: None });
        }
        Some(Heard::Message(Message {
            event: block.event,
            offset: self.cursor.as_deref().and_then(offset_of),
            ..Message::only(shown_as_text(&data))
        }))
    }

    /// The last `id:`.
    pub fn cursor(&self) -> Option<String> {
        self.cursor.clone()
    }
}

/// The offset in a cursor of one channel. Cursors are opaque to clients; the tests look inside to find holes.
pub(super) fn offset_of(cursor: &str) -> Option<u64> {
    let (_, offset) = cursor.split_once('-')?;
    offset.parse().ok()
}
