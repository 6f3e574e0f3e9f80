//! Many subscribers at once.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::subscriber::{Progress, Subscriber};
use crate::form::Form;
use crate::poller::{Events, Poller};

/// How many connections may be half set up: less than any backlog here.
const OPENING_AT_ONCE: usize = 128;

/// How long the server may take for one step of a set-up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who subscribes to what.
#[derive(Debug, Clone)]
pub struct SwarmPlan {
    /// The server, on the loopback address.
    pub target: SocketAddr,
    /// Where publishers publish: the same server, or another node.
    pub publish_to: SocketAddr,
    /// What the subscribers read.
    pub form: Form,
    /// How many there are.
    pub subscribers: usize,
    /// Over how many channels they are spread, in turn.
    pub channels: usize,
    /// How many channels each of them hears; more than one only in a form that joins them by frames.
    pub channels_each: usize,
    /// The lines that each request needs beside its own.
    pub headers: String,
}

impl SwarmPlan {
    /// The name of a channel.
    pub fn channel(&self, index: usize) -> String {
        match self.channels {
            1 => "bench".to_owned(),
            _ => format!("bench-{index:05}"),
        }
    }

    /// Which channels a subscriber hears.
    fn channels_of(&self, index: usize) -> Range<usize> {
        let first = index * self.channels_each % self.channels;
        first..(first + self.channels_each).min(self.channels)
    }
}

/// A request with more lines behind its first.
pub(super) fn with_headers(request: &str, headers: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{headers}"), 1)
}

/// Subscribers that all hear their channel.
pub struct Swarm {
    pub(super) poller: Poller,
    pub(super) events: Events,
    pub(super) buffer: Vec<u8>,
    pub(super) plan: SwarmPlan,
    channels: Vec<String>,
    subscribers: Vec<Subscriber>,
    set_up: Duration,
}

impl Swarm {
    /// Opens all connections and waits until each is told that it is subscribed.
    ///
    /// # Errors
    /// When the server refuses one, or takes more than ten seconds for a step; or the target is not the loopback address.
    pub fn open(plan: SwarmPlan) -> Result<Self> {
        for address in [plan.target, plan.publish_to] {
            if !address.ip().is_loopback() {
                bail!("{address} is not a loopback address: this tool loads no other machine");
            }
        }
        let mut swarm = Self {
            poller: Poller::new()?,
            events: Events::default(),
            buffer: vec![0; 256 * 1024],
            channels: (0..plan.channels)
                .map(|index| plan.channel(index))
                .collect(),
            subscribers: Vec::with_capacity(plan.subscribers),
            plan,
            set_up: Duration::ZERO,
        };
        let start = Instant::now();
        swarm.connect_all()?;
        swarm.set_up = start.elapsed();
        Ok(swarm)
    }

    /// How long it took until the last one was subscribed.
    pub fn set_up_time(&self) -> Duration {
        self.set_up
    }

    /// How many subscribers there are.
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether nobody subscribes.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// How many messages one subscriber has heard.
    pub(super) fn heard(&self, index: usize) -> u64 {
        self.subscribers[index].heard
    }

    /// How many messages all of them have heard together.
    pub fn heard_in_all(&self) -> u64 {
        self.subscribers.iter().map(|one| one.heard).sum()
    }

    /// The names of the channels.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// Keeps the subscribers alive for a while, without expecting anything: pings are answered.
    ///
    /// # Errors
    /// When the server ends one of them.
    pub fn idle(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.poller.wait(&mut self.events, Some(left))?;
            let events = std::mem::take(&mut self.events);
            for token in events.tokens() {
                self.read(token)?;
            }
            self.events = events;
        }
        Ok(())
    }

    /// Reads from everybody until nothing is left, and tells how many the server has cut off.
    pub fn count_closed(&mut self) -> usize {
        let buffer = &mut self.buffer;
        let closed = self.subscribers.iter_mut().map(|one| one.is_closed(buffer));
        closed.filter(|&closed| closed).count()
    }

    /// Reads from one subscriber; tells how many messages came.
    pub(super) fn read(&mut self, index: usize) -> Result<u64> {
        match self.progress(index)? {
            Progress::Heard(messages) => Ok(messages),
            Progress::None | Progress::WentLive => Ok(0),
        }
    }

    fn progress(&mut self, index: usize) -> Result<Progress> {
        let joins = self.plan.channels_of(index);
        self.subscribers[index].read(&mut self.buffer, &self.channels[joins])
    }

    fn connect_all(&mut self) -> Result<()> {
        let mut live = 0;
        while live < self.plan.subscribers {
            let opened = self.subscribers.len();
            if opened < self.plan.subscribers && opened - live < OPENING_AT_ONCE {
                self.connect()?;
                continue;
            }
            live += self.wait_for_joins()?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<()> {
        let index = self.subscribers.len();
        let channel = &self.channels[self.plan.channels_of(index).start];
        let request = with_headers(&self.plan.form.open(channel), &self.plan.headers);
        let subscriber = Subscriber::connect(self.plan.target, index, self.plan.form, &request)?;
        self.poller.add(&subscriber.stream, index)?;
        self.subscribers.push(subscriber);
        Ok(())
    }

    fn wait_for_joins(&mut self) -> Result<usize> {
        self.poller.wait(&mut self.events, Some(PATIENCE))?;
        let events = std::mem::take(&mut self.events);
        let mut joined = 0;
        for token in events.tokens() {
            joined += usize::from(self.progress(token)? == Progress::WentLive);
        }
        if events.is_empty() {
            bail!(
                "{} subscribers wait for an answer for ten seconds",
                self.subscribers.len()
            );
        }
        self.events = events;
        Ok(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_the_channels_and_hear_each_once() {
        let target = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut plan = SwarmPlan {
            target,
            publish_to: target,
            form: Form::JsonWebSocket,
            subscribers: 3,
            channels: 10,
            channels_each: 4,
            headers: String::new(),
        };
        let heard: Vec<_> = (0..3).map(|index| plan.channels_of(index)).collect();
        assert_eq!(heard, [0..4, 4..8, 8..10]);
        plan.channels_each = 1;
        assert_eq!(plan.channels_of(12), 2..3, "in turn");
    }
}
