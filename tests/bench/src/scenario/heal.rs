//! Three nodes whose Redis server is restarted: how long it takes until all channels are heard again. Where the server has lost its data,
//! subscribers are told a gap. They hear many channels each, by a session, so that three times ten thousand channels need few connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::bench::{Bench, Contender};
use crate::form::{Form, MARK};
use crate::http::{head_length, response};
use crate::load::{Swarm, SwarmPlan};
use crate::report::Row;
use crate::server::{BrokerCommand, Keeping, Server, free_address};

const NODES: usize = 3;

/// How many channels a session hears; the broker allows 256 by default.
const CHANNELS_EACH: usize = 100;

/// How often it is asked whether the nodes are ready, and for how long.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// How many messages one request publishes.
const PER_BATCH: usize = 500;

/// Whether the server has lost everything when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// It has.
    Lost,
    /// It has everything that it has acknowledged, and the nodes trust in that: nobody may be told a gap.
    Kept,
}

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let Contender::Broker(command) = &bench.contender else {
        return Ok(Vec::new());
    };
    let channels = bench.effort.connections;
    let mut rows = Vec::new();
    for (memory, name) in [
        (Memory::Lost, "without its data"),
        (Memory::Kept, "with its data, trusted: no gap"),
    ] {
        let scenario = format!("Redis restarted {name}, {NODES} nodes × {channels} channels × 1");
        let mut row = Row::new(
            scenario,
            Form::JsonWebSocket.label(),
            "ms until all is heard",
        );
        for _ in 0..bench.effort.rounds {
            let time = heal(command, channels, memory)?;
            row.broker.push(time.as_secs_f64() * 1e3);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn heal(command: &BrokerCommand, channels: usize, memory: Memory) -> Result<Duration> {
    let data = tempfile::tempdir()?;
    let begin = |address| match memory {
        Memory::Lost => Server::redis_at(address),
        Memory::Kept => Server::redis_in(address, data.path()),
    };
    let address = free_address()?;
    let redis = begin(address)?;
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let node = match memory {
            Memory::Lost => Server::node(command, address, Keeping::History)?,
            Memory::Kept => Server::trusting_node(command, address)?,
        };
        let swarm = sessions(&node, channels)?;
        nodes.push((node, swarm));
    }
    let addresses: Vec<_> = nodes.iter().map(|(node, _)| node.address()).collect();
    publish_everywhere(addresses[0], channels, &mut nodes)?;
    drop(redis);
    wait_until(&addresses, 503)?;
    let _redis = begin(address)?;
    let start = Instant::now();
    wait_until(&addresses, 200)?;
    let time = start.elapsed();
    if memory == Memory::Kept {
        publish_everywhere(addresses[0], channels, &mut nodes).context("after the restart")?;
    }
    // What has been told of a loss was told before the nodes were ready.
    let gaps: u64 = addresses
        .iter()
        .map(|&node| gaps(node))
        .sum::<Result<_>>()?;
    match memory {
        Memory::Kept if gaps > 0 => bail!("{gaps} needless gaps were told"),
        Memory::Lost if gaps == 0 => bail!("nobody was told that messages are lost"),
        _ => Ok(time),
    }
}

/// Sessions that hear all channels at a node, each channel once.
fn sessions(node: &Server, channels: usize) -> Result<Swarm> {
    Swarm::open(SwarmPlan {
        target: node.address(),
        publish_to: node.address(),
        form: Form::JsonWebSocket,
        subscribers: channels.div_ceil(CHANNELS_EACH),
        channels,
        channels_each: CHANNELS_EACH,
        headers: node.headers().to_owned(),
    })
}

/// Publishes a message in each channel, and waits until everybody has heard it.
fn publish_everywhere(
    node: SocketAddr,
    channels: usize,
    swarms: &mut [(Server, Swarm)],
) -> Result<()> {
    let names: Vec<_> = swarms[0].1.channels().to_vec();
    let before: Vec<_> = swarms
        .iter()
        .map(|(_, swarm)| swarm.heard_in_all())
        .collect();
    for batch in names.chunks(PER_BATCH) {
        let data = char::from(MARK).to_string();
        let messages = batch
            .iter()
            .map(|channel| json!({ "channel": channel, "data": data }));
        let body = json!({ "messages": messages.collect::<Vec<_>>() }).to_string();
        let head = format!(
            "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let (status, answer) = exchange(node, &(head + &body))?;
        if status != 200 || answer.contains("\"error\"") {
            bail!("the messages were refused: {status} {answer}");
        }
    }
    let end = Instant::now() + PATIENCE;
    for ((_, swarm), before) in swarms.iter_mut().zip(before) {
        while swarm.heard_in_all() < before + channels as u64 {
            if Instant::now() > end {
                bail!(
                    "only {} of the messages of {channels} channels were heard at a node",
                    swarm.heard_in_all() - before
                );
            }
            swarm.idle(LOOK_INTERVAL)?;
        }
    }
    Ok(())
}

/// How many gaps were told at a node, of all channels and subscribers.
fn gaps(node: SocketAddr) -> Result<u64> {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (_, figures) = exchange(node, request)?;
    let gaps = figures
        .lines()
        .filter(|line| line.starts_with("widecast_gaps_total"));
    let count = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    Ok(gaps.filter_map(count).sum())
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
    let request = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    Ok(exchange(node, request)?.0)
}

/// Sends a request on a connection of its own; gives the status and all that came behind the head.
fn exchange(node: SocketAddr, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(node)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = response(&answer).context("no answer")?.status;
    let head = head_length(&answer).unwrap_or_default();
    Ok((
        status,
        String::from_utf8_lossy(&answer[head..]).into_owned(),
    ))
}
