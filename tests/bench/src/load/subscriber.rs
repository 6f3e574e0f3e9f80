//! One subscriber: connecting, joining, counting.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

use super::count::Counter;
use crate::form::Form;
use crate::http::head_length;

/// How many connections share one source address: fewer than the kernel has ephemeral ports for one.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

#[derive(Debug)]
enum Stage {
    /// Waits for the head of the answer.
    Opening(Vec<u8>),
    /// Has asked to join, waits for so many times `subscribed`.
    Joining(Vec<u8>, usize),
    /// Hears its channel.
    Live,
}

/// One connection that subscribes to one channel, or several.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) stream: TcpStream,
    stage: Stage,
    counter: Counter,
    form: Form,
    /// Messages heard since it went live.
    pub(super) heard: u64,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing to count.
    None,
    /// The subscription was answered: it hears everything from now on.
    WentLive,
    /// So many messages.
    Heard(u64),
}

impl Subscriber {
    /// Connects as the `index`th of a swarm, and sends the request that opens the stream.
    pub(super) fn connect(
        target: SocketAddr,
        index: usize,
        form: Form,
        request: &str,
    ) -> Result<Self> {
        let mut stream = open_socket(target, index)
            .with_context(|| format!("connection {index} to {target}"))?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            stage: Stage::Opening(Vec::new()),
            counter: Counter::new(form),
            form,
            heard: 0,
        })
    }

    /// Reads once: epoll is level-triggered, so what is left makes another event. It joins these channels once it can.
    pub(super) fn read(&mut self, buffer: &mut [u8], channels: &[String]) -> Result<Progress> {
        let length = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a subscriber's connection"),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::None),
            Err(error) => return Err(error).context("a subscriber's connection"),
        };
        let bytes = &buffer[..length];
        if let Stage::Live = self.stage {
            return self.count(bytes);
        }
        self.advance(bytes, channels)
    }

    /// Reads all that has come; whether the server has closed the connection behind it.
    pub(super) fn is_closed(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    fn count(&mut self, bytes: &[u8]) -> Result<Progress> {
        let messages = self.counter.feed(bytes) as u64;
        if let Some(pong) = self.counter.take_pong() {
            self.stream.write_all(&pong)?;
        }
        self.heard += messages;
        Ok(Progress::Heard(messages))
    }

    /// Goes on with the set-up.
    fn advance(&mut self, bytes: &[u8], channels: &[String]) -> Result<Progress> {
        if let Stage::Opening(head) = &mut self.stage {
            head.extend_from_slice(bytes);
            let Some(end) = head_length(head) else {
                return Ok(Progress::None);
            };
            check_status(head)?;
            let rest = head.split_off(end);
            let joins = channels
                .iter()
                .filter_map(|channel| self.form.join(channel));
            let joins: Vec<_> = joins.collect();
            if joins.is_empty() {
                self.stage = Stage::Live;
                self.count(&rest)?;
                return Ok(Progress::WentLive);
            }
            self.stream.write_all(&joins.concat())?;
            self.stage = Stage::Joining(Vec::new(), joins.len());
            return self.await_joined(&rest);
        }
        self.await_joined(bytes)
    }

    fn await_joined(&mut self, bytes: &[u8]) -> Result<Progress> {
        self.count(bytes)?;
        let Stage::Joining(heard, joins) = &mut self.stage else {
            return Ok(Progress::None);
        };
        heard.extend_from_slice(bytes);
        let answer = self.form.joined();
        let windows = heard.windows(answer.len());
        let joined = windows.filter(|window| *window == answer).count();
        if joined < *joins || !self.counter.is_between_messages() {
            return Ok(Progress::None);
        }
        self.stage = Stage::Live;
        // The welcome and the answer were frames, but no messages.
        self.heard = 0;
        Ok(Progress::WentLive)
    }
}

fn check_status(head: &[u8]) -> Result<()> {
    let status = head.split(|&b| b == b' ').nth(1).unwrap_or_default();
    if status != b"200" && status != b"101" {
        bail!(
            "the server refused a subscriber: {}",
            String::from_utf8_lossy(head)
        );
    }
    Ok(())
}

/// Connects; on loopback the kernel does that without the server, as long as its backlog has room.
fn open_socket(target: SocketAddr, index: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if let (IpAddr::V4(_), source @ 1..=250) = (target.ip(), index / CONNECTIONS_PER_SOURCE) {
        let last = u8::try_from(source + 1)?;
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
        socket.bind(&source.into())?;
    }
    // Closing sends a reset: thousands of connections must not wait out their time in the kernel between two runs.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}
