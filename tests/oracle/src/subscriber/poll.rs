//! What a program has with polls: the next one begins with the cursor of the last answer that has come whole.

use anyhow::{Context, Result, bail};
use rand::RngExt;
use serde_json::Value;
use widecast_tests::Transport;
use widecast_tests::subscriber::script::{CALLBACK, argument_of};

use crate::log::Told;
use crate::payload::Shown;

use super::http::{ask, place_of};
use super::{Subscriber, soon};

/// A client that polls, and its last cursor.
#[derive(Default)]
pub(super) struct Poller {
    cursor: Option<String>,
}

impl Poller {
    pub(super) async fn poll(&mut self, it: &mut Subscriber) -> Result<String> {
        let cursor = self.cursor.as_deref();
        let from = cursor.map(|cursor| it.read(cursor)).transpose()?;
        it.asked("a poll", from);
        let timeout = match it.spec.transport {
            Transport::ShortPoll => 0.0,
            _ => it.random.random_range(0.0..2.0),
        };
        let mut query = vec![("timeout".to_owned(), format!("{timeout:.3}"))];
        if let Some(cursor) = cursor {
            query.push(("cursor".to_owned(), cursor.to_owned()));
        }
        let script = it.spec.transport == Transport::JsonpPoll;
        if script {
            query.push(("callback".to_owned(), CALLBACK.to_owned()));
        }
        let response = ask(it, "poll", query, None).await?;
        let text = soon("the answer", async { Ok(response.text().await?) }).await?;
        let answer = if script {
            argument_of(&text, CALLBACK)?
        } else {
            serde_json::from_str(&text).with_context(|| text.clone())?
        };
        self.take(it, answer)?;
        Ok(String::new())
    }

    fn take(&mut self, it: &Subscriber, mut answer: Value) -> Result<()> {
        let cursor = answer["cursor"].as_str().map(str::to_owned);
        let (Some(cursor), Some(messages)) = (cursor, answer["messages"].as_array()) else {
            it.strange(format!("the answer {answer:.300}"));
            bail!("not the answer to a poll");
        };
        if answer["recovered"] == false {
            // Of several channels it is not said which.
            let channel = match &*it.spec.channels {
                [channel] => Some(channel.clone()),
                _ => None,
            };
            it.log.tell(Told::Gap {
                channel,
                upto: None,
                on_resume: true,
            });
        }
        let places = messages.iter().map(|message| message["cursor"].as_str());
        let places = places.map(|cursor| it.read(cursor.unwrap_or_default()));
        let places: Vec<_> = places.collect::<Result<_>>()?;
        let messages = answer["messages"].as_array_mut().context("just seen")?;
        for (message, places) in messages.iter_mut().zip(places) {
            let shown = Shown::Value(message["data"].take());
            let place = |channel: &str| place_of(message, places.get(channel)?);
            let told = it.catalog.heard(&shown, message["event"].as_str(), place);
            it.log.tell(told);
        }
        it.given("answer", &cursor)?;
        self.cursor = Some(cursor);
        Ok(())
    }
}
