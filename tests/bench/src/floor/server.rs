//! The loop: accept, read, publish, write.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::net::{SocketFlags, accept_with};

use super::channel::{Channel, Subscriber, answer};
use super::connection::{Connection, Gone, Role};
use crate::form::Form;
use crate::http::{Request, request};
use crate::poller::{Events, Poller};

/// The token of the listener; connections count from zero.
const LISTENER: usize = usize::MAX;

/// How many messages go into one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// Each message is written when it is published, with a write of its own to each subscriber.
    None,
    /// What one round of epoll has brought is collected, and up to this many messages go into one `writev`.
    UpTo(usize),
}

/// The server, not yet running.
#[derive(Debug)]
pub struct Floor {
    poller: Poller,
    listener: TcpListener,
    batching: Batching,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    channels: Vec<Channel>,
    channel_of_name: HashMap<Vec<u8>, usize>,
    /// Channels with messages that wait for the end of the round.
    dirty: Vec<usize>,
    buffer: Vec<u8>,
}

impl Floor {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn bind(batching: Batching) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER)?;
        Ok(Self {
            poller,
            listener,
            batching,
            connections: Vec::new(),
            free: Vec::new(),
            channels: Vec::new(),
            channel_of_name: HashMap::new(),
            dirty: Vec::new(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::default();
        loop {
            self.poller.wait(&mut events, None)?;
            for token in events.tokens() {
                if token == LISTENER {
                    self.accept()?;
                } else if self.read(token).is_err() {
                    self.drop_connection(token);
                }
            }
            for channel in std::mem::take(&mut self.dirty) {
                self.flush(channel);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok(socket) =
            accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
        {
            let stream = TcpStream::from(socket);
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            self.poller.add(&stream, index)?;
            let connection = Some(Connection::new(stream));
            match self.connections.get_mut(index) {
                Some(slot) => *slot = connection,
                None => self.connections.push(connection),
            }
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<(), Gone> {
        let Some(connection) = &mut self.connections[index] else {
            return Ok(());
        };
        let input = connection.read(&mut self.buffer)?;
        let mut used = 0;
        while used < input.len() {
            match self.role(index) {
                Role::Http | Role::Polling { .. } => {
                    let Some(request) = request(&input[used..]) else {
                        break;
                    };
                    used += request.length;
                    self.answer(index, &request)?;
                }
                Role::Joining(form) => {
                    let Some(channel) = joined_channel(&input[used..]) else {
                        break;
                    };
                    self.join(index, channel, form);
                    let reply = Form::text_frame(br#"{"type":"subscribed","id":1}"#);
                    self.write(index, &reply)?;
                    return Ok(());
                }
                // What subscribers say does not matter: pongs.
                Role::Subscriber { .. } => return Ok(()),
            }
        }
        if let Some(connection) = &mut self.connections[index] {
            connection.keep(&input[used..]);
        }
        Ok(())
    }

    fn role(&self, index: usize) -> Role {
        self.connections[index]
            .as_ref()
            .map_or(Role::Http, |connection| connection.role)
    }

    fn answer(&mut self, index: usize, request: &Request<'_>) -> Result<(), Gone> {
        if request.method == b"POST" {
            return self.publish(index, request);
        }
        if let Some((form, channel)) = Form::of_target(request.target) {
            let head: &[u8] = if form.is_web_socket() {
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                  Connection: close\r\n\r\n"
            };
            if form == Form::JsonWebSocket {
                self.set_role(index, Role::Joining(form));
            } else {
                self.join(index, channel, form);
            }
            return self.write(index, head);
        }
        let Some((channel, cursor)) = polled_channel(request.target) else {
            return Err(Gone);
        };
        let channel = self.channel(channel);
        if let Some(bytes) = self.channels[channel].poll(index, cursor) {
            return self.write(index, &bytes);
        }
        self.set_role(index, Role::Polling { channel });
        Ok(())
    }

    fn publish(&mut self, index: usize, request: &Request<'_>) -> Result<(), Gone> {
        let Some(name) = published_channel(request.target) else {
            return Err(Gone);
        };
        let channel = self.channel(name);
        let subscribers = self.channels[channel].subscribers().len();
        let body = format!(
            r#"{{"channel":"{}","offset":1000,"epoch":"3w5e11264sgsf","subscribers":{subscribers},"duplicate":false}}"#,
            String::from_utf8_lossy(name)
        );
        self.write(index, &answer(&body))?;
        if self.channels[channel].is_flushed() {
            self.dirty.push(channel);
        }
        self.channels[channel].publish(request.body);
        if self.batching == Batching::None {
            self.flush(channel);
        }
        Ok(())
    }

    /// Writes what waits in a channel to everybody who hears it.
    fn flush(&mut self, index: usize) {
        let messages = self.channels[index].take_pending();
        if messages.is_empty() {
            return;
        }
        let mut gone = Vec::new();
        if let Some((polls, bytes)) = self.channels[index].answer_polls() {
            for poll in polls {
                self.set_role(poll, Role::Http);
                if self.write(poll, &bytes).is_err() {
                    gone.push(poll);
                }
            }
        }
        let channel = &self.channels[index];
        let limit = match self.batching {
            Batching::None => 1,
            Batching::UpTo(limit) => limit.max(1),
        };
        for form in channel.forms() {
            let deliveries = channel.deliveries(form, &messages);
            let slices: Vec<_> = deliveries.iter().map(|bytes| IoSlice::new(bytes)).collect();
            for batch in slices.chunks(limit) {
                for subscriber in channel.subscribers() {
                    if subscriber.form != form {
                        continue;
                    }
                    let Some(connection) = &mut self.connections[subscriber.connection] else {
                        continue;
                    };
                    let result = match batch {
                        [one] => connection.write(one),
                        several => connection.write_all_vectored(several),
                    };
                    if result.is_err() {
                        gone.push(subscriber.connection);
                    }
                }
            }
        }
        for index in gone {
            self.drop_connection(index);
        }
    }

    fn channel(&mut self, name: &[u8]) -> usize {
        if let Some(&index) = self.channel_of_name.get(name) {
            return index;
        }
        let index = self.channels.len();
        self.channels.push(Channel::new(name));
        self.channel_of_name.insert(name.to_vec(), index);
        index
    }

    fn join(&mut self, index: usize, name: &[u8], form: Form) {
        let channel = self.channel(name);
        let place = self.channels[channel].join(Subscriber {
            connection: index,
            form,
        });
        self.set_role(index, Role::Subscriber { channel, place });
    }

    fn set_role(&mut self, index: usize, role: Role) {
        if let Some(connection) = &mut self.connections[index] {
            connection.role = role;
        }
    }

    fn write(&mut self, index: usize, bytes: &[u8]) -> Result<(), Gone> {
        match &mut self.connections[index] {
            Some(connection) => connection.write(bytes),
            None => Ok(()),
        }
    }

    fn drop_connection(&mut self, index: usize) {
        let Some(connection) = self.connections[index].take() else {
            return;
        };
        self.free.push(index);
        match connection.role {
            Role::Http | Role::Joining(_) => {}
            Role::Polling { channel } => self.channels[channel].abandon(index),
            Role::Subscriber { channel, place } => {
                if let Some(moved) = self.channels[channel].leave(place) {
                    self.set_role(moved, Role::Subscriber { channel, place });
                }
            }
        }
    }
}

/// The channel of `/channels/{channel}/messages`.
fn published_channel(target: &[u8]) -> Option<&[u8]> {
    target
        .strip_prefix(b"/channels/")?
        .strip_suffix(b"/messages")
}

/// The channel of `/channels/{channel}/poll?cursor=0-{offset}`, and the cursor if the poll is to wait.
fn polled_channel(target: &[u8]) -> Option<(&[u8], Option<u64>)> {
    let rest = std::str::from_utf8(target.strip_prefix(b"/channels/")?).ok()?;
    let (channel, query) = rest.split_once("/poll")?;
    // A short poll waits as little as one without a cursor.
    let cursor = Some(query)
        .filter(|query| !query.contains("timeout=0"))
        .and_then(|query| query.split_once("cursor=0-"))
        .and_then(|(_, offset)| offset.split('&').next()?.parse().ok());
    Some((channel.as_bytes(), cursor))
}

/// The channel that a frame joins, once the frame is there. The load generator masks with zero, so that it reads plainly.
fn joined_channel(input: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = br#""channel":""#;
    let at = input.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = &input[at + KEY.len()..];
    let end = rest.iter().position(|&b| b == b'"')?;
    rest.ends_with(b"}").then_some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_their_channel() {
        assert_eq!(published_channel(b"/channels/a/messages"), Some(&b"a"[..]));
        assert_eq!(published_channel(b"/v1/publish"), None);
        assert_eq!(
            polled_channel(b"/channels/a/poll?timeout=5&cursor=0-17&x=1"),
            Some((&b"a"[..], Some(17)))
        );
        assert_eq!(polled_channel(b"/channels/a/poll"), Some((&b"a"[..], None)));
        assert_eq!(
            polled_channel(b"/channels/a/poll?timeout=0&cursor=0-17"),
            Some((&b"a"[..], None))
        );
        assert_eq!(polled_channel(b"/other"), None);
    }

    #[test]
    fn a_frame_that_joins_is_understood_when_it_is_whole() {
        let frame = Form::JsonWebSocket.join("bench").unwrap();
        assert_eq!(joined_channel(&frame), Some(&b"bench"[..]));
        assert_eq!(joined_channel(&frame[..frame.len() - 1]), None);
    }
}
