//! A node that is added to two busy ones: when it hears its channels, and what those notice who hear the others.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::bench::{Bench, Compared, Contender, Spread, swarm};
use super::latency::percentile_ms;
use super::nodes::Nodes;
use crate::form::Form;
use crate::load::Plan;
use crate::report::Row;
use crate::server::{BrokerCommand, Keeping, Server};

/// A thousand messages a second.
const INTERVAL: Duration = Duration::from_millis(1);

/// One measurement takes this many times as long as the others: the new node comes in the middle of it.
const PATIENCE: u32 = 4;

/// The channels that the new node hears, with one subscriber each.
const CHANNELS: usize = 1000;

struct Joined {
    p99_ms: f64,
    /// From when the process is started until all subscriptions are answered.
    heard_ms: f64,
}

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let Contender::Broker(command) = &bench.contender else {
        return Ok(Vec::new());
    };
    let plan = Plan {
        interval: INTERVAL,
        time: bench.effort.time * PATIENCE,
        ..bench.plan(16)
    };
    let nodes = Nodes::of_broker(command, Keeping::History)?;
    let mut compared = Compared {
        broker: Vec::new(),
        floor: Vec::new(),
    };
    for _ in 0..bench.effort.rounds {
        compared.floor.push(Joined {
            p99_ms: p99(&nodes, &plan)?,
            heard_ms: f64::NAN,
        });
        compared.broker.push(joined(&nodes, command, &plan)?);
    }
    let row = |scenario: &str, measure| Row::new(scenario.to_owned(), "", measure);
    let latency = row("1000 messages/s, and a node is added", "ms p99");
    let heard = row(
        "the node is started and 1000 clients join",
        "ms until all hear",
    );
    let mut heard = compared.fill(heard, |joined| joined.heard_ms);
    heard.floor.clear();
    Ok(vec![compared.fill(latency, |joined| joined.p99_ms), heard])
}

fn p99(nodes: &Nodes, plan: &Plan) -> Result<f64> {
    Ok(percentile_ms(&nodes.latencies(plan)?, 99))
}

fn joined(nodes: &Nodes, command: &BrokerCommand, plan: &Plan) -> Result<Joined> {
    thread::scope(|scope| {
        let (measured, until_measured) = mpsc::channel::<()>();
        let joining = scope.spawn(move || -> Result<f64> {
            thread::sleep(plan.time / 4);
            let start = Instant::now();
            let node = Server::node(command, nodes.redis_address(), Keeping::History)?;
            let spread = Spread {
                subscribers: CHANNELS,
                channels: CHANNELS,
            };
            let _swarm = swarm(&node, Form::JsonWebSocket, spread)?;
            let heard_ms = start.elapsed().as_secs_f64() * 1e3;
            // They stay until the others have been looked at: this ends when nobody can say so any more.
            let _ = until_measured.recv();
            Ok(heard_ms)
        });
        let p99_ms = p99(nodes, plan);
        drop(measured);
        let heard_ms = joining
            .join()
            .map_err(|_| anyhow!("the thread that added a node has panicked"))?;
        Ok(Joined {
            p99_ms: p99_ms?,
            heard_ms: heard_ms.context("the new node")?,
        })
    })
}
