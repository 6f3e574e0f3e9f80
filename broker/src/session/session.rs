//! One subscriber, whatever carries it: the channels it has joined, its outbox, and its signs of life.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use rand::RngExt;
use widecast_protocol::{ChannelName, Code, Reply, SessionId};

use crate::engine::ConnectionId;
use crate::metrics::Transport;
use crate::registry::{Outbox, Shard};

use super::actor::SessionActor;
use super::channels::Channels;
use super::dialect::{Dialect, Farewell};
use super::heart::Heart;
use super::identity::{Identity, random_session};
use super::life::{Care, Life};
use super::polled::Polled;
use super::publisher::Publisher;
use super::services::Services;

/// What the sessions of one worker thread share.
#[derive(Clone)]
pub struct Worker {
    /// What all threads share.
    pub services: Arc<Services>,
    /// The thread's subscriptions.
    pub shard: Rc<Shard>,
    /// The thread's heartbeat.
    pub heart: Rc<Heart>,
}

/// How a client is connected.
#[derive(Debug, Clone, Copy)]
pub struct Carrier {
    /// What the session is sent for what.
    pub dialect: Dialect,
    /// Under which name it is counted.
    pub transport: Transport,
}

/// One subscriber. Dropping it leaves its channels.
pub struct Session {
    /// Made when somebody asks: a raw session has no use for it.
    id: OnceCell<SessionId>,
    connection: ConnectionId,
    worker: Worker,
    identity: Identity,
    carrier: Carrier,
    outbox: Rc<Outbox>,
    pub(super) channels: RefCell<Channels>,
    /// The channels in which the session is listed as a member, or may be.
    listed: RefCell<Vec<ChannelName>>,
    life: Cell<Life>,
    /// How much the client had been written at the last look, if more was waiting then.
    written: Cell<Option<u64>>,
    /// What polls have taken, and may ask for again.
    pub(super) polled: Option<Box<Polled>>,
    address: RefCell<Option<Addr<SessionActor>>>,
}

impl Session {
    /// A session that has joined nothing yet.
    pub fn new(worker: &Worker, identity: Identity, carrier: Carrier) -> Rc<Self> {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        let services = &worker.services;
        services.metrics.sessions.opened(carrier.transport);
        let limit = services.config.outbox.bytes.as_usize();
        let flush_list = Rc::clone(worker.shard.flush_list());
        Rc::new(Self {
            id: OnceCell::new(),
            connection: ConnectionId(CONNECTIONS.fetch_add(1, Ordering::Relaxed)),
            outbox: Outbox::new(flush_list, limit, carrier.dialect.voice()),
            worker: worker.clone(),
            identity,
            carrier,
            channels: RefCell::default(),
            listed: RefCell::default(),
            life: Cell::new(Life::Quiet),
            written: Cell::new(None),
            polled: carrier.dialect.is_polled().then(Box::default),
            address: RefCell::new(None),
        })
    }

    /// The session's name.
    pub fn id(&self) -> &SessionId {
        self.id.get_or_init(random_session)
    }

    /// What it is sent for what.
    pub fn dialect(&self) -> Dialect {
        self.carrier.dialect
    }

    /// Who is behind it.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where its bytes go.
    pub fn outbox(&self) -> &Rc<Outbox> {
        &self.outbox
    }

    /// What all sessions share.
    pub fn services(&self) -> &Arc<Services> {
        &self.worker.services
    }

    pub(super) fn shard(&self) -> &Rc<Shard> {
        &self.worker.shard
    }

    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The session is, or may be, listed as a member from now on.
    pub(super) fn note_listed(&self, channel: &ChannelName) {
        let mut listed = self.listed.borrow_mut();
        if !listed.contains(channel) {
            listed.push(channel.clone());
        }
    }

    /// The session is listed no longer. Returns whether it was.
    pub(super) fn forget_listed(&self, channel: &ChannelName) -> bool {
        let mut listed = self.listed.borrow_mut();
        let index = listed.iter().position(|known| known == channel);
        index.map(|index| listed.swap_remove(index)).is_some()
    }

    pub(super) fn publisher(&self) -> Publisher {
        Publisher {
            origin: self.identity.origin.clone(),
            sender: self.identity.sender.clone(),
        }
    }

    /// Sends a frame, if the session has frames.
    pub fn reply(&self, reply: &Reply) {
        if let Some(wire) = self.carrier.dialect.frames() {
            self.outbox.push_frame(wire.encode(reply));
        }
    }

    /// Greets the client, with what it has to keep to.
    pub fn welcome(&self) {
        let config = &self.worker.services.config;
        self.reply(&Reply::Welcome {
            session: self.id().clone(),
            heartbeat_ms: millis(config.heartbeat.interval),
            limits: widecast_protocol::reply::Limits {
                message_bytes: config.limits.message_bytes.get(),
                channels: config.limits.channels_per_session as u64,
            },
        });
    }

    /// The other end has given a sign of life.
    pub fn heard(&self) {
        self.life.set(self.life.get().heard());
    }

    /// Begins the heartbeat. `address` is woken when the session has to end.
    pub(super) fn begin(self: &Rc<Self>, address: Addr<SessionActor>) {
        *self.address.borrow_mut() = Some(address);
        let config = &self.worker.services.config;
        let delay = if self.carrier.dialect.is_polled() {
            config.poll.session_idle
        } else {
            config.heartbeat.interval
        };
        self.worker.heart.look_after(self, delay);
        if self.worker.services.is_draining() {
            // Everybody else may have been sent away already.
            self.send_away();
        }
    }

    /// Sends a heartbeat or ends the session of a client that is gone; says when to look again.
    pub(super) fn beat(&self) -> Option<Duration> {
        if !self.outbox.is_open() {
            // It had time to take its last frames.
            self.end(Code::HeartbeatTimeout);
            return None;
        }
        let config = &self.worker.services.config;
        if let Some(polled) = &self.polled {
            if !polled.is_alive() {
                self.end(Code::HeartbeatTimeout);
                return None;
            }
            return Some(config.poll.session_idle);
        }
        let (interval, timeout) = (config.heartbeat.interval, config.heartbeat.timeout);
        if !self.carrier.dialect.is_websocket() {
            self.send_heartbeat();
            return Some(interval);
        }
        if self.has_taken_bytes() {
            // The ping may still be behind what it takes.
            self.heard();
        }
        let (life, care) = self.life.get().look();
        self.life.set(life);
        match care {
            Care::Ping => {
                self.send_heartbeat();
                Some(timeout)
            }
            Care::Rest if interval > timeout => Some(interval.saturating_sub(timeout)),
            // The next ping is due already.
            Care::Rest => self.beat(),
            Care::GiveUp => {
                let metrics = &self.worker.services.metrics;
                metrics.sessions.heartbeat_timeouts.inc();
                self.give_up();
                None
            }
        }
    }

    /// Whether the client has taken some of what was waiting at the last look: what the kernel takes while it is full, the
    /// other end has received.
    fn has_taken_bytes(&self) -> bool {
        let written = self.outbox.written_bytes();
        let is_waiting = self.outbox.queued_bytes() > 0;
        let before = self.written.replace(is_waiting.then_some(written));
        before.is_some_and(|before| written > before)
    }

    /// Ends the session of a client that answers no ping. One that only slept learns why from the close frame; when even
    /// what was sent before is still waiting, nothing more would arrive.
    fn give_up(&self) {
        if self.outbox.queued_bytes() > 0 {
            self.end(Code::HeartbeatTimeout);
            return;
        }
        self.say_farewell(&Farewell {
            code: Code::HeartbeatTimeout,
            reason: Code::HeartbeatTimeout.meaning().to_owned(),
            reconnect_after_ms: Some(0),
        });
        self.stop_actor();
    }

    fn stop_actor(&self) {
        if let Some(address) = self.address.borrow().as_ref() {
            #[expect(
                clippy::disallowed_methods,
                reason = "one message in a session's life, which nobody repeats"
            )]
            address.do_send(super::actor::End);
        }
    }

    fn send_heartbeat(&self) {
        if let Some(bytes) = self.carrier.dialect.heartbeat() {
            self.outbox.push_frame(bytes);
        }
    }

    /// Ends the session at once, without a word.
    pub fn end(&self, code: Code) {
        self.outbox.close(code);
        self.stop_actor();
    }

    /// Ends the session because the broker ends, with a time of its own to come back.
    pub fn send_away(&self) {
        let settings = &self.worker.services.config.shutdown;
        if self.carrier.dialect.is_page_websocket() && !settings.raw_close_frame.is_on() {
            self.outbox.finish(Bytes::new());
            return;
        }
        let window = millis(settings.reconnect_window);
        self.say_farewell(&Farewell {
            code: Code::ShuttingDown,
            reason: "the broker is shutting down".to_owned(),
            reconnect_after_ms: Some(rand::rng().random_range(0..=window)),
        });
    }

    /// Ends the session with its last words.
    pub fn say_farewell(&self, farewell: &Farewell) {
        self.outbox.finish(self.carrier.dialect.farewell(farewell));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.outbox.is_open() {
            // Whoever waits for room would wait for ever. One that says farewell is left to write its last words.
            self.outbox.close(Code::ShuttingDown);
        }
        let services = &self.worker.services;
        services.metrics.sessions.closed(self.carrier.transport);
        if let Some(id) = self.id.get() {
            services.sessions.remove(id);
        }
        for channel in self.listed.get_mut().drain(..) {
            // Nobody enters by this connection any more, so nobody has to wait for it to be gone.
            drop(self.worker.shard.exit(&channel, self.connection));
        }
    }
}

/// A duration as the wire has it.
pub fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
