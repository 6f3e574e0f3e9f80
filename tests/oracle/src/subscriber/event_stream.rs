//! What a page has with `new EventSource(url)`: its last event id changes where a block ends.

use anyhow::{Context, Result};
use serde_json::Value;
use widecast_tests::Transport;
use widecast_tests::subscriber::event_stream::{Block, EventStream};

use crate::log::Told;
use crate::payload::Shown;
use crate::place::Places;

use super::http::ask;
use super::lines::LineReader;
use super::{Subscriber, unless_silent};

/// An `EventSource`, and its last event id.
#[derive(Default)]
pub(super) struct EventSource {
    last_event_id: Option<String>,
    /// Takes what is shown as message objects.
    objects: LineReader,
}

impl EventSource {
    pub(super) async fn connection(&mut self, it: &mut Subscriber) -> Result<String> {
        let id = self.last_event_id.as_deref();
        let from = id.map(|id| it.read(id)).transpose()?;
        it.asked("an event stream", from);
        let are_objects = it.spec.transport == Transport::ObjectSse;
        let format = are_objects.then(|| ("format".to_owned(), "message".to_owned()));
        let response = ask(it, "sse", format.into_iter().collect(), id).await?;
        let mut events = EventStream::new(response);
        while let Some(block) = unless_silent(events.next()).await? {
            if are_objects {
                self.take_object(it, block)?;
            } else {
                self.take(it, block)?;
            }
        }
        Ok("the end".to_owned())
    }

    /// The object has the cursor that is the id of its block.
    fn take_object(&mut self, it: &Subscriber, block: Block) -> Result<()> {
        if let Some(data) = &block.data {
            self.objects.take(it, "object", data)?;
            let is_goodbye = data.starts_with("{\"type\":\"goodbye\"");
            if (self.objects.cursor != block.id && !is_goodbye) || block.event.is_some() {
                it.strange(format!("the block {block:?}"));
            }
        }
        if let Some(id) = block.id {
            it.given("id", &id)?;
            self.last_event_id = Some(id);
        }
        Ok(())
    }

    fn take(&mut self, it: &Subscriber, block: Block) -> Result<()> {
        if block.event.as_deref() == Some("widecast.gap") {
            let data = block.data.as_deref().context("a gap without data")?;
            let gap: Value = serde_json::from_str(data)?;
            let channel = gap["channel"].as_str().context("a gap of no channel")?;
            it.gap(channel, gap["cursor"].as_str())?;
        } else if block.event.as_deref() == Some("widecast.goodbye") {
            // The end comes next.
        } else if let Some(data) = block.data {
            let places = block.id.as_deref().map(|id| it.read(id)).transpose()?;
            let places: Places = places.context("a message without an id")?;
            let place = |channel: &str| places.get(channel).cloned();
            let shown = Shown::Lines(data);
            let mut told = it.catalog.heard(&shown, block.event.as_deref(), place);
            if let Told::Heard(heard) = &mut told {
                heard.at_most = it.spec.channels.len() > 1;
            }
            it.log.tell(told);
        }
        if let Some(id) = block.id {
            it.given("id", &id)?;
            self.last_event_id = Some(id);
        }
        Ok(())
    }
}
