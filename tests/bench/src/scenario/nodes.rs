//! Two nodes on one Redis server: what a publication on one of them costs all three, its delivery by the other included.
//!
//! In the floor's place stands Centrifugo with its Redis engine, where it is installed.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Compared, Contender, Spread};
use super::latency::percentile_ms;
use crate::form::Form;
use crate::load::{Plan, Publishers, Swarm, SwarmPlan, drive};
use crate::report::{Row, Target, float};
use crate::server::{BrokerCommand, Keeping, Server};
use crate::usage::Usage;

/// Two hundred a second: far from any queueing, and enough for a 99th percentile.
const INTERVAL: Duration = Duration::from_millis(5);

/// Channels with one subscriber each, and publications in flight.
const LOADS: [(usize, usize); 3] = [(1, 1), (1, 32), (100, 32)];

/// Who has a share in a publication.
const SHARES: [&str; 3] = ["publishing node", "other node", "Redis"];

/// Two nodes and what they share.
pub(super) struct Nodes {
    publishing: Server,
    hearing: Server,
    form: Form,
    redis: Server,
}

/// What a publication with its delivery has cost each of them, in microseconds.
struct Shares {
    cpu_us: [f64; 3],
    per_second: f64,
}

/// From sending the request to reading the delivery.
struct Latency {
    median_ms: f64,
    p99_ms: f64,
}

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let Contender::Broker(command) = &bench.contender else {
        return Ok(Vec::new());
    };
    if bench.centrifugo.is_none() {
        writeln!(
            io::stderr(),
            "Centrifugo is not there, and left out: docs/benchmarks.md says how to get it"
        )?;
    }
    let mut rows = Vec::new();
    for (keeping, name) in [
        (Keeping::History, "history"),
        (Keeping::Nothing, "ephemeral"),
    ] {
        let ours = Nodes::of_broker(command, keeping)?;
        let program = bench.centrifugo.as_deref();
        let theirs = program.map(|program| Nodes::of_centrifugo(program, keeping));
        let theirs = theirs.transpose()?;
        let both = Both {
            ours: &ours,
            theirs: theirs.as_ref(),
            rounds: bench.effort.rounds,
        };
        for (channels, window) in LOADS {
            rows.extend(both.costs(bench, name, channels, window)?);
        }
        rows.extend(both.latencies(bench, name)?);
    }
    Ok(rows)
}

impl Nodes {
    fn start(form: Form, start: impl Fn(SocketAddr) -> Result<Server>) -> Result<Self> {
        let redis = Server::redis()?;
        Ok(Self {
            publishing: start(redis.address())?,
            hearing: start(redis.address())?,
            form,
            redis,
        })
    }

    /// Two of the broker's.
    pub(super) fn of_broker(command: &BrokerCommand, keeping: Keeping) -> Result<Self> {
        Self::start(Form::JsonWebSocket, |redis| {
            Server::node(command, redis, keeping)
        })
    }

    fn of_centrifugo(program: &Path, keeping: Keeping) -> Result<Self> {
        Self::start(Form::Centrifugo, |redis| {
            Server::centrifugo(program, redis, keeping)
        })
    }

    fn swarm(&self, spread: Spread) -> Result<Swarm> {
        Swarm::open(SwarmPlan {
            target: self.hearing.address(),
            publish_to: self.publishing.address(),
            form: self.form,
            subscribers: spread.subscribers,
            channels: spread.channels,
            channels_each: 1,
            headers: self.publishing.headers().to_owned(),
        })
    }

    fn usage_at_rest(&self) -> Result<[Usage; 3]> {
        Ok([
            self.publishing.usage_at_rest()?,
            self.hearing.usage_at_rest()?,
            self.redis.usage_at_rest()?,
        ])
    }

    fn shares(&self, spread: Spread, plan: &Plan) -> Result<Shares> {
        let mut swarm = self.swarm(spread)?;
        let mut publishers = Publishers::connect(&swarm, plan)?;
        let warm_up = Plan {
            time: plan.time / 10,
            ..*plan
        };
        drive(&mut swarm, &mut publishers, &warm_up).context("warming up")?;
        let before = self.usage_at_rest()?;
        let outcome = drive(&mut swarm, &mut publishers, plan)?;
        let after = self.usage_at_rest()?;
        let deliveries = float(outcome.deliveries.max(1));
        let cost = |index: usize| {
            let cpu = after[index].cpu.saturating_sub(before[index].cpu);
            cpu.as_secs_f64() * 1e6 / deliveries
        };
        Ok(Shares {
            cpu_us: [cost(0), cost(1), cost(2)],
            per_second: deliveries / outcome.elapsed.as_secs_f64(),
        })
    }

    /// Where their server is.
    pub(super) fn redis_address(&self) -> SocketAddr {
        self.redis.address()
    }

    /// How long each message took to one subscriber, the shortest time first.
    pub(super) fn latencies(&self, plan: &Plan) -> Result<Vec<Duration>> {
        let mut swarm = self.swarm(Spread::one_channel(1))?;
        let mut publishers = Publishers::connect(&swarm, plan)?;
        let mut latencies = drive(&mut swarm, &mut publishers, plan)?.latencies;
        latencies.sort_unstable();
        Ok(latencies)
    }

    fn latency(&self, plan: &Plan) -> Result<Latency> {
        let latencies = self.latencies(plan)?;
        Ok(Latency {
            median_ms: percentile_ms(&latencies, 50),
            p99_ms: percentile_ms(&latencies, 99),
        })
    }
}

/// The broker's nodes and Centrifugo's, to be compared in turn.
struct Both<'a> {
    ours: &'a Nodes,
    theirs: Option<&'a Nodes>,
    rounds: usize,
}

impl Both<'_> {
    fn measure<T>(&self, measure: impl Fn(&Nodes) -> Result<T>) -> Result<Compared<T>> {
        let mut compared = Compared {
            broker: Vec::new(),
            floor: Vec::new(),
        };
        for _ in 0..self.rounds {
            let theirs = self.theirs.map(&measure).transpose();
            compared.floor.extend(theirs.context("Centrifugo")?);
            compared
                .broker
                .push(measure(self.ours).context("the broker")?);
        }
        Ok(compared)
    }

    fn costs(&self, bench: &Bench, name: &str, channels: usize, window: usize) -> Result<Vec<Row>> {
        let mut plan = bench.plan(window);
        plan.messages = u64::MAX;
        let spread = Spread {
            subscribers: channels,
            channels,
        };
        let compared = self.measure(|nodes| nodes.shares(spread, &plan))?;
        let scenario = format!("{name}, {channels} × 1, {window} in flight");
        let row = |who| Row::new(scenario.clone(), who, "µs CPU/publish+delivery");
        let total = row("all three").with_target(Target::TimesFloor(1.0));
        let mut total = compared.fill(total, |shares| shares.cpu_us.iter().sum());
        let rates = compared.fill(row(""), |shares| shares.per_second);
        total.per_second = [
            rates.broker_median(),
            rates.floor_median().unwrap_or_default(),
        ];
        let mut rows = vec![total];
        for (index, who) in SHARES.into_iter().enumerate() {
            rows.push(compared.fill(row(who), |shares| shares.cpu_us[index]));
        }
        Ok(rows)
    }

    fn latencies(&self, bench: &Bench, name: &str) -> Result<Vec<Row>> {
        let plan = Plan {
            interval: INTERVAL,
            ..bench.plan(16)
        };
        let compared = self.measure(|nodes| nodes.latency(&plan))?;
        let per_second = 1000 / INTERVAL.as_millis();
        let scenario = format!("{name}, latency at {per_second} messages/s");
        let row = |measure| Row::new(scenario.clone(), "", measure);
        Ok(vec![
            compared.fill(row("ms p50"), |latency| latency.median_ms),
            compared.fill(row("ms p99"), |latency| latency.p99_ms),
        ])
    }
}
