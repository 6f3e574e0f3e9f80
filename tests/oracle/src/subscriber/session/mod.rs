//! What a client library has: a session of frames that joins several channels, publishes, and after a cut subscribes each
//! channel with the cursor of its last message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Error, Result, bail};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use widecast_tests::subscriber::link::{Arrival, Codec, Link};
use widecast_tests::{Join, Transport};

use crate::log::Told;
use crate::payload::Shown;
use crate::place::{Place, Places};

use super::{Habit, Subscriber, soon, unless_silent};

mod publishing;

pub use self::publishing::Publishing;

use self::publishing::Desk;

/// How often a session of polls tries again before it gives itself up.
const FAILURES: usize = 4;

/// How seldom a session leaves a channel: once in so many milliseconds at the most.
const LEAVES_EVERY: u64 = 800;

/// A session, and what it keeps over its connections.
#[derive(Default)]
pub(super) struct Session {
    /// The cursor of each channel.
    cursors: BTreeMap<String, String>,
    desk: Option<Desk>,
    /// How many past messages it asks for where it has no cursor.
    history: Option<u32>,
    ids: u64,
    /// The ids of the commands that join channels.
    joins: BTreeSet<u64>,
    opened: u64,
}

/// How far a connection is with joining the channels.
struct Joining {
    /// Asked for, and not answered yet.
    asked: Vec<String>,
    /// Still to be asked for, one behind the other.
    later: VecDeque<String>,
}

impl Session {
    pub(super) async fn connection(&mut self, it: &mut Subscriber) -> Result<String> {
        if self.desk.is_none() {
            self.desk = it.spec.publishing.clone().map(|what| Desk::new(what, it));
        }
        self.history = it.spec.history;
        self.opened += 1;
        let places = self.places();
        it.asked("a session", Some(places));
        let mut link = soon("opening", open(it)).await?;
        let welcome = match soon("the welcome", link.next()).await? {
            Arrival::Frame(frame) if frame["type"] == "welcome" => frame,
            Arrival::Frame(frame) if frame["type"] == "goodbye" => return Ok(frame.to_string()),
            Arrival::Frame(frame) => bail!("{frame} instead of a welcome"),
            Arrival::End(end) => return Ok(format!("{end:?}")),
        };
        let session = welcome["session"].as_str().context("no session")?;
        link.set_session(session);
        let lane = format!("{}#{}", it.spec.name, self.opened);
        if let Some(desk) = &mut self.desk {
            desk.opened(lane);
        }
        let mut asked = it.spec.channels.clone();
        let one_by_one = it.spec.habit == Habit::OneByOne;
        let later = asked.split_off(if one_by_one { 1 } else { asked.len() });
        self.subscribe(&mut link, &asked).await?;
        let later = later.into();
        self.attend(it, &mut link, Joining { asked, later }).await
    }

    fn places(&self) -> Places {
        let places = self.cursors.iter();
        let read = |(channel, cursor): (&String, &String)| {
            Some((channel.clone(), Place::read(cursor).ok()?))
        };
        places.filter_map(read).collect()
    }

    /// Hears and publishes until the connection ends.
    async fn attend(
        &mut self,
        it: &mut Subscriber,
        link: &mut Link,
        mut joining: Joining,
    ) -> Result<String> {
        let leaves = it.spec.habit == Habit::Leaves;
        let mut failures = 0;
        let mut leave_at = Instant::now() + pause(it, LEAVES_EVERY);
        loop {
            let calm = *it.calm.borrow();
            let publish_at = match &self.desk {
                Some(desk) if !calm => Some(desk.next_at()),
                _ => None,
            };
            tokio::select! {
                biased;
                () = at(publish_at) => self.publish(it, link).await?,
                () = sleep_until(leave_at), if leaves && !calm => {
                    leave_at = Instant::now() + pause(it, LEAVES_EVERY);
                    if joining.asked.is_empty() {
                        joining.asked.push(self.leave(it, link).await?);
                    }
                }
                arrival = unless_silent(link.next()) => match arrival {
                    Err(error) if failures < FAILURES && can_poll_again(it, &error) => {
                        failures += 1;
                        sleep(pause(it, 30)).await;
                    }
                    arrival => {
                        failures = 0;
                        if let Some(end) = self.arrived(it, link, arrival?, &mut joining).await? {
                            return Ok(end);
                        }
                    }
                },
            }
        }
    }

    /// Takes what has come; says how the connection ended, if it did.
    async fn arrived(
        &mut self,
        it: &Subscriber,
        link: &mut Link,
        arrival: Arrival,
        joining: &mut Joining,
    ) -> Result<Option<String>> {
        match arrival {
            Arrival::End(end) => return Ok(Some(format!("{end:?}"))),
            Arrival::Frame(Value::Array(frames)) => {
                for frame in frames {
                    self.take(it, link, frame, joining).await?;
                }
            }
            Arrival::Frame(frame) if frame["type"] == "goodbye" => {
                return Ok(Some(frame.to_string()));
            }
            Arrival::Frame(frame) => self.take(it, link, frame, joining).await?,
        }
        Ok(None)
    }

    async fn take(
        &mut self,
        it: &Subscriber,
        link: &mut Link,
        mut frame: Value,
        joining: &mut Joining,
    ) -> Result<()> {
        let channel = frame["channel"].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str() {
            Some("message") => self.message(it, &channel, &mut frame),
            Some("subscribed") => {
                self.subscribed(it, &channel, &frame);
                joining.asked.retain(|waiting| *waiting != channel);
                if let Some(next) = joining.later.pop_front() {
                    joining.asked.push(next.clone());
                    self.subscribe(link, &[next]).await?;
                }
            }
            Some("unsubscribed") => {
                it.log.tell(Told::Left(channel.clone()));
                self.subscribe(link, &[channel]).await?;
            }
            Some("gap") => {
                let cursor = frame["cursor"].as_str().unwrap_or_default().to_owned();
                it.gap(&channel, Some(&cursor))?;
                self.cursors.insert(channel, cursor);
            }
            Some("error") => self.error(it, &frame)?,
            Some("published" | "batch") => self.answered(it, &frame),
            Some("pong") => {}
            None if frame["accepted"].is_u64() => {}
            _ => it.strange(format!("the frame {frame:.300}")),
        }
        Ok(())
    }

    fn message(&mut self, it: &Subscriber, channel: &str, frame: &mut Value) {
        let (epoch, offset) = (frame["epoch"].as_str(), frame["offset"].as_u64());
        let Some(place) = epoch.zip(offset).map(|(e, o)| Place::new(e, o)) else {
            return it.strange(format!("the message {frame:.300}"));
        };
        let shown = Shown::Value(frame["data"].take());
        let told = it
            .catalog
            .heard(&shown, frame["event"].as_str(), |published_on| {
                (published_on == channel).then(|| place.clone())
            });
        it.log.tell(told);
        self.cursors.insert(channel.to_owned(), place.to_string());
    }

    fn subscribed(&mut self, it: &Subscriber, channel: &str, frame: &Value) {
        let cursor = frame["cursor"].as_str().unwrap_or_default();
        let Ok(place) = Place::read(cursor) else {
            return it.strange(format!("the answer {frame}"));
        };
        if frame["recovered"] == false {
            it.log.tell(Told::Gap {
                channel: Some(channel.to_owned()),
                upto: Some(place.clone()),
                on_resume: true,
            });
        }
        it.log.tell(Told::Given {
            by: "subscribed",
            places: [(channel.to_owned(), place)].into(),
        });
        self.cursors.insert(channel.to_owned(), cursor.to_owned());
    }

    fn answered(&mut self, it: &Subscriber, frame: &Value) {
        let wrong = self.desk.as_mut().map(|desk| desk.answered(frame));
        if let Some(Err(error)) = wrong {
            it.strange(format!("the answer {frame:.300}: {error:#}"));
        }
    }

    /// A channel that could not be joined is joined by the next connection.
    fn error(&mut self, it: &Subscriber, frame: &Value) -> Result<()> {
        if let Some(desk) = &mut self.desk {
            desk.refused(frame);
        }
        if frame["retryable"] != true {
            it.strange(format!("the error {frame}"));
        }
        let id = frame["id"].as_u64();
        if id.is_some_and(|id| self.joins.contains(&id)) {
            bail!("a channel was refused: {frame}");
        }
        Ok(())
    }

    /// Subscribes from where the session is, all in one frame.
    async fn subscribe(&mut self, link: &mut Link, channels: &[String]) -> Result<()> {
        let mut commands = Vec::new();
        for channel in channels {
            self.ids += 1;
            self.joins.insert(self.ids);
            let mut command = json!({ "type": "subscribe", "id": self.ids, "channel": channel });
            match (self.cursors.get(channel), self.history) {
                (Some(cursor), _) => command["cursor"] = cursor.clone().into(),
                (None, Some(messages)) => command["history"] = messages.into(),
                (None, None) => {}
            }
            commands.push(command);
        }
        send(link, &commands.into()).await
    }

    /// Leaves a channel, to come back when that is answered.
    async fn leave(&mut self, it: &mut Subscriber, link: &mut Link) -> Result<String> {
        let channels = &it.spec.channels;
        let channel = channels[it.random.random_range(0..channels.len())].clone();
        self.ids += 1;
        let command = json!({ "type": "unsubscribe", "id": self.ids, "channel": channel });
        send(link, &command).await?;
        Ok(channel)
    }

    async fn publish(&mut self, it: &Subscriber, link: &mut Link) -> Result<()> {
        let Some(desk) = &mut self.desk else {
            return Ok(());
        };
        let commands = desk.commands(&mut self.ids);
        let published = send(link, &commands).await;
        if let Err(error) = &published
            && super::says_never(&format!("{error:#}"))
        {
            it.strange(format!("{error:#}"));
        }
        published
    }
}

/// Whether a poll got no answer: the frames it would have had are given to the next one.
fn can_poll_again(it: &Subscriber, error: &Error) -> bool {
    it.spec.transport.polls() && error.is::<reqwest::Error>()
}

async fn open(it: &Subscriber) -> Result<Link> {
    let (endpoint, spec) = (&it.endpoint, &it.spec);
    let join = Join {
        sender: spec.sender.clone(),
        echo: spec.echo,
        ..Join::default()
    };
    let link = match spec.transport {
        Transport::JsonWebSocket => Link::websocket(endpoint, &join, Codec::Json).await?,
        Transport::MessagePackWebSocket => {
            Link::websocket(endpoint, &join, Codec::MessagePack).await?
        }
        Transport::EnvelopeSse => Link::event_stream(endpoint, &join).await?,
        Transport::JsonStream => Link::stream(endpoint, &join, Codec::Json).await?,
        Transport::MessagePackStream => Link::stream(endpoint, &join, Codec::MessagePack).await?,
        Transport::EnvelopePoll if spec.packed => Link::poll(endpoint, &join, Codec::MessagePack),
        Transport::EnvelopePoll => Link::poll(endpoint, &join, Codec::Json),
        Transport::EnvelopeJsonp => Link::jsonp(endpoint, &join),
        raw => bail!("{raw:?} has no sessions"),
    };
    Ok(link)
}

async fn send(link: &mut Link, commands: &Value) -> Result<()> {
    soon("sending", link.send(commands)).await.map(drop)
}

/// A pause of up to so many milliseconds.
fn pause(it: &mut Subscriber, milliseconds: u64) -> std::time::Duration {
    std::time::Duration::from_millis(it.random.random_range(1..=milliseconds))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
