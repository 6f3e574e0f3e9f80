//! What all scenarios share: the two sides, how much effort to spend, and comparing in rounds.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::floor::Batching;
use crate::form::Form;
use crate::load::{Plan, Publishers, Swarm, SwarmPlan, drive};
use crate::report::{Row, float};
use crate::server::{BrokerCommand, Server};

/// What is compared with the floor.
#[derive(Debug, Clone)]
pub enum Contender {
    /// The broker.
    Broker(BrokerCommand),
    /// The floor itself: the ratio has to be 1.
    Floor,
    /// nginx with nchan.
    Nchan,
}

impl Contender {
    /// The wire forms that it serves.
    pub(super) fn forms(&self) -> &'static [Form] {
        match self {
            Self::Broker(_) | Self::Floor => &Form::ALL,
            Self::Nchan => &[Form::RawWebSocket, Form::Sse],
        }
    }
}

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How often each side is measured, in turn.
    pub rounds: usize,
    /// How long one measurement takes at most.
    pub time: Duration,
    /// How many messages one measurement takes at most.
    pub messages: u64,
    /// Subscribers of one channel.
    pub subscribers: usize,
    /// Connections where many are needed.
    pub connections: usize,
    /// The size of a payload.
    pub payload_bytes: usize,
}

/// The setting of a run.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Measured against the floor.
    pub contender: Contender,
    /// Where Centrifugo is, to be measured beside the nodes of the broker.
    pub centrifugo: Option<PathBuf>,
    /// How much to do.
    pub effort: Effort,
}

/// What some work has cost the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// CPU time for one thing done, in microseconds.
    pub(super) cpu_us: f64,
    /// Things done in a second.
    pub(super) per_second: f64,
}

/// The figures of both sides, one for each round.
#[derive(Debug, Clone)]
pub(super) struct Compared<T> {
    /// The contender's.
    pub(super) broker: Vec<T>,
    /// The floor's.
    pub(super) floor: Vec<T>,
}

impl Bench {
    /// Starts the contender; a floor batches like the one it is compared with.
    pub(super) fn start_contender(&self, batching: Batching) -> Result<Server> {
        match &self.contender {
            Contender::Broker(command) => Server::broker(command),
            Contender::Floor => Server::floor(batching),
            Contender::Nchan => Server::nchan(),
        }
    }

    /// Measures both sides in turn, as often as the effort says, so that what disturbs the machine disturbs both.
    pub(super) fn compare<T>(
        &self,
        batching: Batching,
        measure: impl Fn(&Server) -> Result<T>,
    ) -> Result<Compared<T>> {
        let broker = self.start_contender(batching)?;
        self.compare_with(&broker, &Server::floor(batching)?, measure)
    }

    /// The same for any two servers.
    pub(super) fn compare_with<T>(
        &self,
        broker: &Server,
        floor: &Server,
        measure: impl Fn(&Server) -> Result<T>,
    ) -> Result<Compared<T>> {
        self.compare_anew(|| measure(broker), || measure(floor))
    }

    /// The same for two measurements that may each start a server of their own.
    pub(super) fn compare_anew<T>(
        &self,
        broker: impl Fn() -> Result<T>,
        floor: impl Fn() -> Result<T>,
    ) -> Result<Compared<T>> {
        let mut compared = Compared {
            broker: Vec::new(),
            floor: Vec::new(),
        };
        for _ in 0..self.effort.rounds {
            compared.floor.push(floor().context("the floor")?);
            compared.broker.push(broker().context("the broker")?);
        }
        Ok(compared)
    }

    /// The setting, for programs.
    pub fn json(&self) -> Value {
        let broker = match &self.contender {
            Contender::Broker(command) => {
                json!({ "workers": command.workers, "arguments": command.arguments })
            }
            Contender::Floor => json!("floor"),
            Contender::Nchan => json!("nginx with nchan"),
        };
        json!({
            "broker": broker,
            "rounds": self.effort.rounds,
            "seconds": self.effort.time.as_secs_f64(),
            "messages": self.effort.messages,
            "subscribers": self.effort.subscribers,
            "connections": self.effort.connections,
            "payload_bytes": self.effort.payload_bytes,
        })
    }

    /// A plan with so many publications in flight, as fast as they go.
    pub(super) fn plan(&self, window: usize) -> Plan {
        Plan {
            window,
            messages: self.effort.messages,
            time: self.effort.time,
            interval: Duration::ZERO,
            payload_bytes: self.effort.payload_bytes,
        }
    }
}

/// How many subscribers over how many channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) subscribers: usize,
    pub(super) channels: usize,
}

impl Spread {
    /// All in one channel.
    pub(super) fn one_channel(subscribers: usize) -> Self {
        Self {
            subscribers,
            channels: 1,
        }
    }
}

/// Subscribers of one form, spread over some channels.
pub(super) fn swarm(server: &Server, form: Form, spread: Spread) -> Result<Swarm> {
    Swarm::open(SwarmPlan {
        target: server.address(),
        publish_to: server.address(),
        form,
        subscribers: spread.subscribers,
        channels: spread.channels,
        channels_each: 1,
        headers: server.headers().to_owned(),
    })
}

/// Publishes to a swarm after a short warm-up; tells what one delivery has cost the server.
pub(super) fn cost_of_deliveries(server: &Server, swarm: &mut Swarm, plan: &Plan) -> Result<Cost> {
    let mut publishers = Publishers::connect(swarm, plan)?;
    let warm_up = Plan {
        messages: plan.messages.div_ceil(10).min(50),
        ..*plan
    };
    drive(swarm, &mut publishers, &warm_up).context("warming up")?;
    let before = server.usage_at_rest()?;
    let outcome = drive(swarm, &mut publishers, plan)?;
    let after = server.usage_at_rest()?;
    let cpu = after.cpu.saturating_sub(before.cpu);
    let deliveries = float(outcome.deliveries.max(1));
    Ok(Cost {
        cpu_us: cpu.as_secs_f64() * 1e6 / deliveries,
        per_second: deliveries / outcome.elapsed.as_secs_f64(),
    })
}

impl<T> Compared<T> {
    /// Fills a row with one figure of each round.
    pub(super) fn fill(&self, mut row: Row, figure: impl Fn(&T) -> f64) -> Row {
        row.broker = self.broker.iter().map(&figure).collect();
        row.floor = self.floor.iter().map(&figure).collect();
        row
    }
}

impl Compared<Cost> {
    /// A row of costs, with the rates beside them.
    pub(super) fn cost_row(&self, row: Row) -> Row {
        let rates = self.fill(row.clone(), |cost| cost.per_second);
        let mut row = self.fill(row, |cost| cost.cpu_us);
        row.per_second = [
            rates.broker_median(),
            rates.floor_median().unwrap_or_default(),
        ];
        row
    }
}
