//! Polls: long, short, and as a script.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::address::address;
use crate::broker::Broker;
use crate::heard::{Heard, Message};
use crate::join::Join;

use super::script::{CALLBACK, argument_of};

/// How a client polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollKind {
    /// The answer waits for a message.
    Long,
    /// The answer comes at once.
    Short,
    /// The answer waits, and is a script that calls a function.
    Jsonp,
}

/// How often a short poll asks.
const SHORT_POLL_EVERY: Duration = Duration::from_millis(20);

/// A client that polls.
pub struct RawPoll {
    http: reqwest::Client,
    base: String,
    join: Join,
    kind: PollKind,
    cursor: String,
    heard: VecDeque<(Heard, Option<String>)>,
    seen: String,
}

impl RawPoll {
    /// Learns where the channel ends, or begins at the cursor.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn open(broker: &Broker, join: &Join, kind: PollKind) -> Result<Self> {
        let mut it = Self {
            http: broker.http().clone(),
            base: broker.base(),
            join: join.clone(),
            kind,
            cursor: join.cursor.clone().unwrap_or_default(),
            heard: VecDeque::new(),
            seen: join.cursor.clone().unwrap_or_default(),
        };
        if it.cursor.is_empty() {
            let answer = it.ask(None).await?;
            it.accept(&answer)?;
            it.seen.clone_from(&it.cursor);
        }
        Ok(it)
    }

    /// One poll from the cursor, or without one; the answer changes nothing here.
    ///
    /// # Errors
    /// When the broker refuses, or the answer is not one to a poll.
    pub async fn ask(&self, cursor: Option<&str>) -> Result<Value> {
        let mut query = self.join.raw_query();
        let mut add = |name: &str, value: &str| query.push((name.to_owned(), value.to_owned()));
        if let Some(cursor) = cursor {
            add("cursor", cursor);
        }
        match self.kind {
            // The first poll asks where it is; one that says how long to wait would wait.
            PollKind::Long if cursor.is_none() => {}
            PollKind::Long => add("timeout", "25"),
            PollKind::Short => add("timeout", "0"),
            PollKind::Jsonp => add("callback", CALLBACK),
        }
        let url = address(&self.base, &self.join.raw_path("poll"), &query)?;
        let response = self.http.get(url).send().await?;
        let status = response.status();
        let text = response.text().await?;
        if status != 200 {
            bail!("{status}: {text}");
        }
        match self.kind {
            PollKind::Jsonp => argument_of(&text, CALLBACK),
            PollKind::Long | PollKind::Short => serde_json::from_str(&text).context(text),
        }
    }

    fn accept(&mut self, answer: &Value) -> Result<()> {
        let (Some(cursor), Some(messages)) =
            (answer["cursor"].as_str(), answer["messages"].as_array())
        else {
            bail!("not the answer to a poll: {answer}");
        };
        if answer["recovered"] == false {
            self.heard.push_back((Heard::Gap { channel: None }, None));
        }
        for object in messages {
            let cursor = object["cursor"].as_str().map(str::to_owned);
            let message = Message::from_object(object)?;
            self.heard.push_back((Heard::Message(message), cursor));
        }
        cursor.clone_into(&mut self.cursor);
        Ok(())
    }

    /// The next message or gap; polls until there is one.
    ///
    /// # Errors
    /// When the broker refuses, or an answer is not one to a poll.
    pub async fn next(&mut self) -> Result<Heard> {
        loop {
            if let Some((heard, cursor)) = self.heard.pop_front() {
                // Between the messages of one answer the cursor is that of the message, after them that of the answer.
                let last = self.heard.is_empty().then(|| self.cursor.clone());
                self.seen = last.or(cursor).unwrap_or_else(|| self.seen.clone());
                return Ok(heard);
            }
            let cursor = self.cursor.clone();
            let answer = self.ask(Some(&cursor)).await?;
            self.accept(&answer)?;
            if self.kind == PollKind::Short && self.heard.is_empty() {
                tokio::time::sleep(SHORT_POLL_EVERY).await;
            }
        }
    }

    /// Where the reader is.
    pub fn cursor(&self) -> Option<String> {
        Some(self.seen.clone())
    }
}
