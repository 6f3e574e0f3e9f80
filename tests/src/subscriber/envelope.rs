//! A session of the envelope protocol: commands and their replies, messages and everything else.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context, Result, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::link::{Arrival, Link};
use crate::heard::{Heard, Message};
use crate::join::Join;
use crate::publisher::Published;

/// An envelope session.
pub struct Envelope {
    link: Link,
    welcome: Value,
    places: BTreeMap<String, String>,
    waiting: VecDeque<Value>,
    last_id: u64,
}

impl Envelope {
    /// Reads the `welcome` and joins the channels.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn open(mut link: Link, join: &Join) -> Result<Self> {
        let Arrival::Frame(welcome) = link.next().await? else {
            bail!("the end instead of a welcome");
        };
        let session = welcome["session"].as_str();
        let session = session.with_context(|| format!("not a welcome: {welcome}"))?;
        link.set_session(session);
        let mut it = Self {
            link,
            places: BTreeMap::new(),
            waiting: VecDeque::new(),
            last_id: 0,
            welcome,
        };
        for channel in &join.channels {
            it.subscribe(channel, join).await?;
        }
        Ok(it)
    }

    /// The first frame.
    pub fn welcome(&self) -> &Value {
        &self.welcome
    }

    /// Joins a channel as the join says; gives the `subscribed` reply.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn subscribe(&mut self, channel: &str, join: &Join) -> Result<Value> {
        let mut command = json!({ "type": "subscribe", "channel": channel });
        let fields = [
            ("cursor", join.cursor_of(channel).map(Value::from)),
            ("presence", join.presence.clone()),
            ("history", join.history.map(Value::from)),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                command[name] = value;
            }
        }
        let reply = self.command(command).await?;
        if reply["type"] != "subscribed" || reply["channel"] != channel {
            bail!("not subscribed: {reply}");
        }
        let cursor = reply["cursor"].as_str();
        let cursor = cursor
            .with_context(|| format!("no cursor: {reply}"))?
            .to_owned();
        // Messages that came before the reply have moved on already.
        self.places.entry(channel.to_owned()).or_insert(cursor);
        if reply["recovered"] == false {
            self.waiting
                .push_front(json!({ "type": "gap", "channel": channel }));
        }
        Ok(reply)
    }

    /// Publishes with a command.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn publish(&mut self, channel: &str, data: Value) -> Result<Published> {
        let command = json!({ "type": "publish", "channel": channel, "data": data });
        let reply = self.command(command).await?;
        Published::from_object(&reply)
    }

    /// Sends a command with an id of its own and waits for its reply; what else comes is heard later.
    ///
    /// # Errors
    /// When the connection ends instead.
    pub async fn command(&mut self, mut command: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        command["id"] = id.into();
        let mut replies = self.send(&command).await?.into_iter();
        if let Some(reply) = replies.find(|reply| reply["id"] == id) {
            return Ok(reply);
        }
        loop {
            match self.link.next().await? {
                Arrival::Frame(frame) => {
                    for frame in flattened(frame) {
                        if frame["id"] == id {
                            return Ok(frame);
                        }
                        self.waiting.push_back(frame);
                    }
                }
                Arrival::End(end) => bail!("{end:?} instead of a reply to {command}"),
            }
        }
    }

    /// Sends commands as they are; gives the replies that come in the answer to a POST.
    ///
    /// # Errors
    /// When the broker does not take them.
    pub async fn send(&mut self, commands: &Value) -> Result<Vec<Value>> {
        self.link.send(commands).await
    }

    /// What comes next: a message, a gap, another frame, or the end.
    ///
    /// # Errors
    /// When what comes is not a frame.
    pub async fn next(&mut self) -> Result<Heard> {
        while self.waiting.is_empty() {
            match self.link.next().await? {
                Arrival::Frame(frame) => self.waiting.extend(flattened(frame)),
                Arrival::End(end) => return Ok(end),
            }
        }
        let frame = self.waiting.pop_front().context("just seen")?;
        let channel = frame["channel"].as_str().map(str::to_owned);
        match frame["type"].as_str() {
            Some("message") => {
                let message = Message::from_object(&frame)?;
                let (Some(channel), Some(epoch)) = (channel, frame["epoch"].as_str()) else {
                    bail!("a message without its channel and epoch: {frame}");
                };
                self.places
                    .insert(channel, format!("{epoch}-{}", frame["offset"]));
                Ok(Heard::Message(message))
            }
            Some("gap") => {
                if let (Some(channel), Some(cursor)) = (&channel, frame["cursor"].as_str()) {
                    self.places.insert(channel.clone(), cursor.to_owned());
                }
                Ok(Heard::Gap { channel })
            }
            Some(_) => Ok(Heard::Frame(frame)),
            None => bail!("a frame without a type: {frame}"),
        }
    }

    /// Where it is: the cursor of its one channel, or of all of them.
    pub fn cursor(&self) -> Option<String> {
        if let (1, Some(place)) = (self.places.len(), self.places.values().next()) {
            return Some(place.clone());
        }
        let part = |(name, place): (&String, &String)| {
            format!("{}={place}", utf8_percent_encode(name, NON_ALPHANUMERIC))
        };
        let parts: Vec<_> = self.places.iter().map(part).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// Ends the connection as the transport does it.
    ///
    /// # Errors
    /// When the broker does not answer a close frame.
    pub async fn close(self) -> Result<()> {
        self.link.close().await
    }

    /// Vanishes without a word.
    pub fn kill(self) {
        self.link.kill();
    }
}

/// One WebSocket message is one frame or an array of frames.
fn flattened(value: Value) -> Vec<Value> {
    match value {
        Value::Array(frames) => frames,
        frame => vec![frame],
    }
}
