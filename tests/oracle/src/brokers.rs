//! The brokers of a run, and the Redis servers that they share, if they do.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;
use widecast_tests::broker::{Broker, Signal};
use widecast_tests::{Publisher, eventually};

use crate::plan::Plan;
use crate::proxy::Proxy;
use crate::scope::EngineKind;
use crate::seed::generator;
use crate::servers::Servers;
use crate::trouble::{Event, Process, Trouble};

/// How often a broker is started again if its port is taken for a moment.
const STARTS: usize = 20;

/// The brokers. Clients may use any of them.
pub struct Brokers {
    nodes: Vec<Broker>,
    engine: EngineKind,
    servers: Option<Servers>,
    /// The way of each broker to the only server; it is there as long as it is kept.
    links: Vec<Proxy>,
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
            losses: 0,
        };
        for number in 0..engine.brokers() {
            let mut settings = plan.settings();
            if let Some(servers) = &brokers.servers {
                let mut url = servers.url();
                if let Some((place, weather)) = servers.place().zip(plan.links.get(number)) {
                    let random = generator(plan.seed, &format!("the link of broker {number}"));
                    let link = Proxy::to(vec![place], *weather, random, calm.subscribe()).await?;
                    url = format!("redis://{}", link.address());
                    brokers.links.push(link);
                }
                settings = settings.key("engine.default.url", format!("{url:?}"));
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

    /// The names of the members that each of them lists in a room.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn members(&self, room: &str) -> Result<Vec<Vec<String>>> {
        let mut lists = Vec::new();
        for broker in &self.nodes {
            let answer = broker.get(&["channels", room, "presence"], &[]).await?;
            let members = answer["members"].as_array();
            let members = members.with_context(|| answer.to_string())?;
            let name = |member: &Value| member["data"].as_str().map(str::to_owned);
            let mut names: Vec<_> = members.iter().filter_map(name).collect();
            names.sort_unstable();
            lists.push(names);
        }
        Ok(lists)
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

    /// Lets something happen, and waits until it is over.
    ///
    /// # Errors
    /// When a process does not come back.
    pub async fn suffer(&mut self, event: Event) -> Result<()> {
        match event.whom {
            Process::Broker(number) => self.broker(number, event.trouble).await,
            Process::Server(number) => {
                let servers = self.servers.as_mut().context("a Redis server")?;
                self.losses += servers.suffer(number, event.trouble).await?;
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
            Trouble::Kill(pause) => {
                broker.kill().await?;
                sleep(pause).await;
            }
            Trouble::Terminate => {
                broker.signal(Signal::Terminate).await?;
                broker.ended().await?;
            }
            Trouble::Replace | Trouble::FailOver | Trouble::Move(_) => return Ok(()),
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
