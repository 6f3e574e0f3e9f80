//! What a page has with `new EventSource(url)`.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::event_stream::{Block, EventStream};
use crate::address::address;
use crate::broker::Broker;
use crate::heard::{Heard, Message, shown_as_text};
use crate::join::Join;

/// What the events of a plain event stream have as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// The data of a message.
    Data,
    /// The message as an object.
    Objects,
}

/// A plain event stream.
pub struct RawSse {
    kind: Events,
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
    pub async fn open(broker: &Broker, join: &Join, kind: Events) -> Result<Self> {
        let mut query = join.raw_query();
        if kind == Events::Objects {
            query.push(("format".to_owned(), "message".to_owned()));
        }
        let url = address(&broker.base(), &join.raw_path("sse"), &query)?;
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
            kind,
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
            if let Some(heard) = self.take(block)? {
                return Ok(heard);
            }
        }
    }

    fn take(&mut self, block: Block) -> Result<Option<Heard>> {
        if let Some(id) = &block.id {
            self.cursor = Some(id.clone());
        }
        match self.kind {
            Events::Data => self.data(block),
            Events::Objects => self.object(block),
        }
    }

    fn object(&self, block: Block) -> Result<Option<Heard>> {
        let Some(data) = block.data else {
            return Ok(None);
        };
        let object: Value = serde_json::from_str(&data).context(data)?;
        if object["type"] == "goodbye" && block.id.is_none() && block.event.is_none() {
            return Ok(Some(Heard::Frame(object)));
        }
        if block.event.is_some() || object["cursor"].as_str() != self.cursor.as_deref() {
            bail!("{:?} with the id {:?}: {object}", block.event, self.cursor);
        }
        Heard::from_object(object).map(Some)
    }

    fn data(&self, block: Block) -> Result<Option<Heard>> {
        let Some(data) = block.data else {
            return Ok(None);
        };
        Ok(Some(match block.event.as_deref() {
            Some("widecast.gap") => Heard::Gap { channel: None },
            Some("widecast.goodbye") => Heard::Frame(serde_json::from_str(&data).context(data)?),
            _ => Heard::Message(Message {
                event: block.event,
                offset: self.cursor.as_deref().and_then(offset_of),
                ..Message::only(shown_as_text(&data))
            }),
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
