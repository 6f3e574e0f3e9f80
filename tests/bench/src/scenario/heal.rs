//! Three nodes whose Redis server is restarted: how long it takes until all channels are heard again. Subscribers are told a gap,
//! which a raw WebSocket cannot be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bench::{Bench, Contender, Spread, swarm};
use crate::form::Form;
use crate::http::response;
use crate::report::Row;
use crate::server::{BrokerCommand, Keeping, Server};

const NODES: usize = 3;

/// How often it is asked whether the nodes are ready, and for how long.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the subscribers are looked at afterwards: none may have been cut off.
const AFTERWARDS: Duration = Duration::from_millis(200);

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let Contender::Broker(command) = &bench.contender else {
        return Ok(Vec::new());
    };
    let channels = bench.effort.connections / NODES;
    let scenario = format!("Redis restarted, {NODES} nodes × {channels} channels × 1");
    let mut row = Row::new(scenario, Form::Sse.label(), "ms until all is heard");
    for _ in 0..bench.effort.rounds {
        let time = heal(command, channels)?;
        row.broker.push(time.as_secs_f64() * 1e3);
    }
    Ok(vec![row])
}

fn heal(command: &BrokerCommand, channels: usize) -> Result<Duration> {
    let redis = Server::redis()?;
    let address = redis.address();
    let spread = Spread {
        subscribers: channels,
        channels,
    };
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let node = Server::node(command, address, Keeping::History)?;
        let swarm = swarm(&node, Form::Sse, spread)?;
        nodes.push((node, swarm));
    }
    drop(redis);
    wait_until(
        &nodes
            .iter()
            .map(|(node, _)| node.address())
            .collect::<Vec<_>>(),
        503,
    )?;
    let _redis = Server::redis_at(address)?;
    let start = Instant::now();
    wait_until(
        &nodes
            .iter()
            .map(|(node, _)| node.address())
            .collect::<Vec<_>>(),
        200,
    )?;
    let time = start.elapsed();
    for (_, swarm) in &mut nodes {
        swarm.idle(AFTERWARDS)?;
    }
    Ok(time)
}

/// Waits until all nodes say with this status whether they are ready: they are when they hear all their channels.
fn wait_until(nodes: &[SocketAddr], status: u16) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    for &node in nodes {
        while readiness(node)? != status {
            if Instant::now() > end {
                bail!(
                    "a node does not answer {status} for {} s",
                    PATIENCE.as_secs()
                );
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
    Ok(())
}

fn readiness(node: SocketAddr) -> Result<u16> {
    let mut stream = TcpStream::connect(node)?;
    stream
        .write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(response(&answer).context("no answer")?.status)
}
