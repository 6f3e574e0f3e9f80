//! The brokers of a run, and the Redis server that they share, if they do.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::time::sleep;
use widecast_tests::broker::{Broker, Signal};
use widecast_tests::{Publisher, RedisServer, eventually};

use crate::plan::Plan;
use crate::proxy::Proxy;
use crate::scope::EngineKind;
use crate::seed::generator;
use crate::trouble::{Event, Process, Trouble};

/// How often a broker is started again if its port is taken for a moment.
const STARTS: usize = 20;

/// The brokers. Clients may use any of them.
pub struct Brokers {
    nodes: Vec<Broker>,
    engine: EngineKind,
    server: Option<RedisServer>,
    /// The way of each broker to the server; it is there as long as it is kept.
    links: Vec<Proxy>,
    losses: usize,
}

impl Brokers {
    /// Starts them.
    ///
    /// # Errors
    /// When one does not come up in time.
    pub async fn start(plan: &Plan, calm: &watch::Sender<bool>) -> Result<Self> {
        let mut brokers = Self {
            nodes: Vec::new(),
            engine: plan.broker.engine,
            server: None,
            links: Vec::new(),
            losses: 0,
        };
        if plan.broker.engine != EngineKind::Redis {
            let broker = Broker::with(plan.settings()).await?;
            brokers.nodes.push(broker.quiet());
            return Ok(brokers);
        }
        let server = brokers.server.insert(RedisServer::start(&[]).await?);
        for (number, weather) in plan.links.iter().enumerate() {
            let random = generator(plan.seed, &format!("the link of broker {number}"));
            let place = SocketAddr::from(([127, 0, 0, 1], server.port()));
            let link = Proxy::to(vec![place], *weather, random, calm.subscribe()).await?;
            let url = format!("\"redis://{}\"", link.address());
            let settings = plan.settings().key("engine.default.url", url);
            let broker = Broker::with(settings).await?;
            brokers.nodes.push(broker.quiet());
            brokers.links.push(link);
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

    /// Waits until each of them hears everything from its server.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn are_ready(&self) -> Result<()> {
        for broker in &self.nodes {
            let ready = async || Ok(broker.readiness().await? == 200);
            eventually("a broker is ready when all is calm", ready).await?;
        }
        Ok(())
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
            Process::Server => self.server(event.trouble).await,
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

    async fn server(&mut self, trouble: Trouble) -> Result<()> {
        let server = self.server.as_mut().context("a Redis server")?;
        match trouble {
            Trouble::Halt(pause) => {
                server.signal(Signal::Stop).await?;
                sleep(pause).await;
                server.signal(Signal::Continue).await
            }
            Trouble::Kill(pause) => {
                self.losses += 1;
                server.kill().await?;
                sleep(pause).await;
                server.start_again().await
            }
            Trouble::Terminate => Ok(()),
        }
    }
}
