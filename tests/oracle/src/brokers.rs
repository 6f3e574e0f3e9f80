//! The brokers of a run, and the Redis servers that they share, if they do.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use widecast_tests::broker::{Broker, Signal};
use widecast_tests::{Publisher, eventually};

use crate::place::Place;
use crate::plan::Plan;
use crate::proxy::Proxy;
use crate::scope::EngineKind;
use crate::seed::generator;
use crate::servers::Servers;
use crate::trouble::{Disturbance, Event, Process, Trouble};

/// How often a broker is started again if its port is taken for a moment.
const STARTS: usize = 20;

/// The host by which a broker comes to its servers.
fn host(broker: usize) -> Result<Ipv4Addr> {
    Ok(Ipv4Addr::new(127, 0, 0, u8::try_from(2 + broker)?))
}

/// The brokers. Clients may use any of them.
pub struct Brokers {
    nodes: Vec<Broker>,
    engine: EngineKind,
    servers: Option<Servers>,
    /// The ways of each broker to the servers; they are there as long as they are kept.
    links: Vec<Vec<Proxy>>,
    channels: Vec<String>,
    losses: usize,
}

impl Brokers {
    /// Starts them.
    ///
    /// # Errors
    /// When one does not come up in time.
    pub async fn start(plan: &Plan, calm: &watch::Sender<bool>) -> Result<Self> {
        let engine = plan.broker.engine;
        let mut brokers = Self {
            nodes: Vec::new(),
            engine,
            servers: Servers::start(engine).await?,
            links: Vec::new(),
            channels: plan.channels.clone(),
            losses: 0,
        };
        for number in 0..engine.brokers() {
            let mut settings = plan.settings();
            if let Some(servers) = &brokers.servers {
                let host = host(number)?;
                let mut ways = Vec::new();
                for (port, weather) in servers.ports().into_iter().zip(&plan.links[number]) {
                    let name = format!("the link of broker {number} to server {}", ways.len());
                    let random = generator(plan.seed, &name);
                    let calm = calm.subscribe();
                    ways.push(Proxy::before(port, host, *weather, random, calm).await?);
                }
                brokers.links.push(ways);
                let (key, value) = servers.setting_at(host);
                settings = settings.key(key, value);
            }
            let broker = Broker::with(settings).await?;
            brokers.nodes.push(broker.quiet());
        }
        Ok(brokers)
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Broker::socket_address).collect()
    }

    /// A publisher at one of them.
    pub fn publisher(&self, number: usize) -> Publisher {
        self.nodes[number % self.nodes.len()].publisher()
    }

    /// How often all messages were lost, so that every channel begins a new epoch.
    pub fn losses(&self) -> usize {
        self.losses
    }

    /// Waits until each of them hears everything from its servers.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn are_ready(&self) -> Result<()> {
        if let Some(servers) = &self.servers {
            servers.until_whole().await?;
        }
        for broker in &self.nodes {
            let ready = async || {
                let parts = broker.metrics().await?;
                let parts = parts.sum(&["widecast_engine_server_ready{"]);
                Ok(broker.readiness().await? == 200 && parts >= self.engine.parts())
            };
            eventually("a broker is ready when all is calm", ready).await?;
        }
        Ok(())
    }

    /// Where a channel ends, as each of them says; nothing if one cannot say so just now.
    pub async fn ends_of(&self, channel: &str) -> Option<Vec<Place>> {
        let mut ends = Vec::new();
        for broker in &self.nodes {
            let cursor = broker.end_of(channel).await.ok()?;
            ends.push(Place::read(&cursor).ok()?);
        }
        Some(ends)
    }

    /// The names of the members that each of them lists in a room; none if it cannot say so just now.
    pub async fn members(&self, room: &str) -> Vec<Vec<String>> {
        let mut lists = Vec::new();
        for broker in &self.nodes {
            let answer = broker.get(&["channels", room, "presence"], &[]).await;
            let answer = answer.unwrap_or_default();
            let members = answer["members"].as_array().into_iter().flatten();
            let name = |member: &Value| member["data"].as_str().map(str::to_owned);
            let mut names: Vec<_> = members.filter_map(name).collect();
            names.sort_unstable();
            lists.push(names);
        }
        lists
    }

    /// Makes sure that they still run and answer.
    ///
    /// # Errors
    /// When one does not.
    pub async fn check_alive(&mut self) -> Result<()> {
        for broker in &mut self.nodes {
            broker.check_alive().await?;
        }
        Ok(())
    }

    /// What they have logged.
    pub fn log(&self) -> String {
        let mut logs = String::new();
        for (number, broker) in self.nodes.iter().enumerate() {
            let _ = writeln!(logs, "--- broker {number}\n{}", broker.log());
        }
        logs
    }

    /// Lets something happen on the way of a broker to a server, when it is time, and does not wait for it.
    pub fn disturb(&self, began: Instant, disturbance: Disturbance) {
        let Disturbance {
            at, outage, pause, ..
        } = disturbance;
        let link = &self.links[disturbance.broker][disturbance.server];
        link.suffer(outage, began + at, pause);
    }

    /// Lets something happen, and waits until it is over.
    ///
    /// # Errors
    /// When a process does not come back.
    pub async fn suffer(&mut self, event: Event) -> Result<()> {
        match event.whom {
            Process::Broker(number) => self.broker(number, event.trouble).await,
            Process::Server(number) => {
                let servers = self.servers.as_mut().context("a Redis server")?;
                let trouble = event.trouble;
                self.losses += servers.suffer(number, trouble, &self.channels).await?;
                Ok(())
            }
        }
    }

    async fn broker(&mut self, number: usize, trouble: Trouble) -> Result<()> {
        let broker = &mut self.nodes[number];
        match trouble {
            Trouble::Halt(pause) => {
                broker.signal(Signal::Stop).await?;
                sleep(pause).await;
                return broker.signal(Signal::Continue).await;
            }
            Trouble::Stop => return broker.signal(Signal::Stop).await,
            Trouble::GoOn => return broker.signal(Signal::Continue).await,
            Trouble::Kill(pause) => {
                broker.kill().await?;
                sleep(pause).await;
            }
            Trouble::Terminate => {
                broker.signal(Signal::Terminate).await?;
                // One that was stopped hears it then.
                broker.signal(Signal::Continue).await?;
                broker.ended().await?;
            }
            _ => return Ok(()),
        }
        if self.engine == EngineKind::Memory {
            self.losses += 1;
        }
        for _ in 1..STARTS {
            if broker.restart().await.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        broker.restart().await
    }
}
