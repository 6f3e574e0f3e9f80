//! Members: clients that are listed in a room, on several connections each, at whatever broker. They come and go, and write down of
//! whom they are told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use widecast_tests::subscriber::link::{Arrival, Codec, Link};
use widecast_tests::{Endpoint, Join, Transport};

use crate::diary::{Diary, Picture, Seen};
use crate::subscriber::{soon, unless_silent};

/// The transports of members.
pub const TRANSPORTS: [Transport; 5] = [
    Transport::JsonWebSocket,
    Transport::MessagePackWebSocket,
    Transport::EnvelopeSse,
    Transport::JsonStream,
    Transport::MessagePackStream,
];

/// What one connection of a member is to do.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Its name.
    pub name: String,
    /// The name of the member, which other connections may have, too.
    pub member: String,
    /// The room.
    pub room: String,
    /// How it hears.
    pub transport: Transport,
    /// Whether it is here when all is calm.
    pub stays: bool,
}

/// A connection of a member.
pub struct Visitor {
    /// What it is to do.
    pub visit: Visit,
    /// Its way to the broker.
    pub endpoint: Endpoint,
    /// What it is told.
    pub diary: Arc<Diary>,
    /// Its own chance.
    pub random: StdRng,
    /// Becomes true when it has to be where it is to be at the end.
    pub calm: watch::Receiver<bool>,
}

/// How a stay in the room ended.
enum End {
    /// The time is up.
    Over,
    /// The connection is over.
    Cut(String),
}

impl Visitor {
    /// Comes and goes until all is calm, and then for as long as it is awaited if it stays.
    pub async fn run(mut self) {
        loop {
            self.pause(1500).await;
            if self.is_done() {
                return;
            }
            let end = self.connection().await;
            let end = end.unwrap_or_else(|error| format!("{error:#}"));
            self.diary.tell(Seen::Away(end));
            let pause = self.random.random_range(1..60);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    fn is_done(&self) -> bool {
        *self.calm.borrow() && !self.visit.stays
    }

    /// A pause of up to so many milliseconds, and none when all is calm.
    async fn pause(&mut self, milliseconds: u64) {
        let pause = Duration::from_millis(self.random.random_range(0..milliseconds));
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.calm.wait_for(|calm| *calm) => {}
        }
    }

    /// Enters the room and leaves it, perhaps several times; says how the connection ended.
    async fn connection(&mut self) -> Result<String> {
        let mut link = soon("opening", self.open()).await?;
        match soon("the welcome", link.next()).await? {
            Arrival::Frame(frame) if frame["type"] == "welcome" => {
                link.set_session(frame["session"].as_str().context("no session")?);
            }
            Arrival::Frame(frame) => return Ok(frame.to_string()),
            Arrival::End(end) => return Ok(format!("{end:?}")),
        }
        loop {
            if let End::Cut(how) = self.stay(&mut link).await? {
                return Ok(how);
            }
            if self.random.random_bool(0.5) {
                return Ok("gone".to_owned());
            }
            if let End::Cut(how) = self.leave(&mut link).await? {
                return Ok(how);
            }
            self.pause(600).await;
            if self.is_done() {
                return Ok("gone at the end".to_owned());
            }
        }
    }

    async fn open(&self) -> Result<Link> {
        let (endpoint, visit) = (&self.endpoint, &self.visit);
        let join = Join::default().sender(&format!("sender-key-of-{}", visit.member));
        match visit.transport {
            Transport::JsonWebSocket => Link::websocket(endpoint, &join, Codec::Json).await,
            Transport::MessagePackWebSocket => {
                Link::websocket(endpoint, &join, Codec::MessagePack).await
            }
            Transport::EnvelopeSse => Link::event_stream(endpoint, &join).await,
            Transport::JsonStream => Link::stream(endpoint, &join, Codec::Json).await,
            Transport::MessagePackStream => Link::stream(endpoint, &join, Codec::MessagePack).await,
            other => bail!("no member has {other:?}"),
        }
    }

    /// Enters, and is there for a while: until it goes or the connection ends.
    async fn stay(&mut self, link: &mut Link) -> Result<End> {
        let (room, member) = (&self.visit.room, &self.visit.member);
        let enter = json!({ "type": "subscribe", "id": 1, "channel": room, "presence": member });
        soon("entering", link.send(&enter)).await?;
        let until = Instant::now() + Duration::from_millis(self.random.random_range(20..3000));
        loop {
            let calm = *self.calm.borrow();
            let stays = calm && self.visit.stays;
            if calm && !stays {
                return Ok(End::Over);
            }
            tokio::select! {
                biased;
                arrival = unless_silent(link.next()) => {
                    if let Some(end) = self.arrived(arrival?) {
                        return Ok(end);
                    }
                }
                () = sleep_until(until), if !stays => return Ok(End::Over),
                changed = self.calm.changed(), if !calm => changed?,
            }
        }
    }

    /// Leaves the room, and keeps the connection.
    async fn leave(&mut self, link: &mut Link) -> Result<End> {
        let leave = json!({ "type": "unsubscribe", "id": 2, "channel": self.visit.room });
        soon("leaving", link.send(&leave)).await?;
        loop {
            if let Some(end) = self.arrived(soon("the answer to leaving", link.next()).await?) {
                return Ok(end);
            }
        }
    }

    /// Takes what has come; says how the stay ended, if it did.
    fn arrived(&self, arrival: Arrival) -> Option<End> {
        match arrival {
            Arrival::End(end) => Some(End::Cut(format!("{end:?}"))),
            Arrival::Frame(Value::Array(frames)) => {
                let mut ends = frames.iter().filter_map(|frame| self.take(frame));
                ends.next_back()
            }
            Arrival::Frame(frame) => self.take(&frame),
        }
    }

    fn take(&self, frame: &Value) -> Option<End> {
        let seen = match frame["type"].as_str() {
            Some("subscribed") => listed(frame).map(Seen::Listed),
            Some("join") => member(&frame["member"]).map(|(id, name)| Seen::Joined { id, name }),
            Some("leave") => member(&frame["member"]).map(|(id, _)| Seen::Left(id)),
            Some("unsubscribed") => {
                self.diary.tell(Seen::Away("left".to_owned()));
                return Some(End::Over);
            }
            Some("message" | "gap" | "pong") => return None,
            None if frame["accepted"].is_u64() => return None,
            Some("goodbye") => return Some(End::Cut(frame.to_string())),
            // It tries again.
            Some("error") if frame["retryable"] == true => {
                return Some(End::Cut(frame.to_string()));
            }
            _ => None,
        };
        let strange = || Seen::Strange(format!("the frame {frame:.300}"));
        self.diary.tell(seen.unwrap_or_else(strange));
        None
    }
}

fn listed(frame: &Value) -> Option<Picture> {
    let members = frame["members"].as_array()?;
    members.iter().map(member).collect()
}

/// The id and the name of a member.
fn member(member: &Value) -> Option<(String, String)> {
    let (id, name) = (member["id"].as_str()?, member["data"].as_str()?);
    Some((id.to_owned(), name.to_owned()))
}
