//! One subscriber, whatever carries it: the channels it has joined, its outbox, and its signs of life.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::Addr;
use tracing::{Span, field};
use widecast_protocol::{ChannelName, Reply, SenderKey, SessionId};

use crate::engine::ConnectionId;
use crate::limits::{CommandAllowance, Held, Quota, Share};
use crate::offload::offload;
use crate::registry::{Outbox, Shard};

use super::actor::SessionActor;
use super::channels::Channels;
use super::credentials::Credentials;
use super::dialect::Dialect;
use super::identity::{Echo, Identity, member_id, random_session, session_digest};
use super::index::{SessionIndex, SessionKeys};
use super::listing::ListedChannels;
use super::liveness::Liveness;
use super::polled::PolledFrames;
use super::publisher::Publisher;
use super::refusal::Refusal;
use super::services::Services;
use super::subscription_tokens::SubscriptionTokens;
use super::transport::Carrier;
use super::worker::Worker;

/// One subscriber. Dropping it leaves its channels.
pub struct Session {
    /// Made when somebody asks: a raw session has no use for it.
    id: OnceCell<SessionId>,
    connection: ConnectionId,
    opened: Instant,
    worker: Worker,
    /// The sender key of its messages, if it has one.
    sender: Option<SenderKey>,
    /// Whether it hears what it has sent itself.
    echo: Echo,
    /// The share of its client's address.
    share: Share,
    pub(super) credentials: RefCell<Credentials>,
    /// What it has shown for single channels; most sessions have shown nothing.
    pub(super) subscription_tokens: RefCell<Option<Box<SubscriptionTokens>>>,
    /// The keys by which it is in the worker's session index.
    pub(super) keys: RefCell<SessionKeys>,
    /// How much it may publish, if that is limited.
    quota: Option<Arc<Quota>>,
    /// What it has used of its allowance of commands.
    pub(super) commands: CommandAllowance,
    /// Its part in the share of its client's address.
    _share: Held,
    carrier: Carrier,
    outbox: Rc<Outbox>,
    pub(super) channels: RefCell<Channels>,
    pub(super) listed: RefCell<ListedChannels>,
    pub(super) liveness: Liveness,
    /// The frames that polls have taken, and may ask for again.
    pub(super) polled: Option<Box<PolledFrames>>,
    address: RefCell<Option<Addr<SessionActor>>>,
    /// Why a poll ends early, which has no frames to be told in.
    refusal: RefCell<Option<Box<Refusal>>>,
    /// Every line of the log about the session is written within this span, so that it says whose it is. Where the log has no such lines
    /// there is none.
    span: Option<Box<Span>>,
}

impl Session {
    /// A session that has joined nothing yet.
    pub fn new(worker: &Worker, identity: Identity, held: Held, carrier: Carrier) -> Rc<Self> {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        let Identity {
            sender,
            echo,
            principal,
            share,
            headers: _,
        } = identity;
        let services = &worker.services;
        services.metrics.sessions.opened(carrier.transport.as_str());
        let limit = services.config.outbox.bytes.as_usize();
        let flush_list = Rc::clone(worker.shard.flush_list());
        let span = tracing::debug_span!(
            "session",
            session.id = field::Empty,
            session.transport = carrier.transport.as_str(),
            client.address = field::Empty,
        );
        let connection = ConnectionId(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let session = Rc::new(Self {
            id: OnceCell::new(),
            connection,
            opened: Instant::now(),
            outbox: Outbox::new(flush_list, limit, carrier.dialect.form(), connection),
            worker: worker.clone(),
            credentials: RefCell::new(Credentials::new(principal)),
            subscription_tokens: RefCell::new(None),
            keys: RefCell::default(),
            quota: services.quotas.of_session(),
            commands: CommandAllowance::default(),
            _share: held,
            sender,
            echo,
            share,
            carrier,
            channels: RefCell::default(),
            listed: RefCell::default(),
            liveness: Liveness::default(),
            polled: carrier.dialect.is_polled().then(Box::default),
            address: RefCell::new(None),
            refusal: RefCell::new(None),
            span: (!span.is_disabled()).then(|| Box::new(span)),
        });
        worker.sessions.add(&session);
        session.list_credentials();
        if let Some(span) = &session.span {
            // The name of a session that nobody asks for is made for the log alone, which shows its digest: the name is a secret.
            span.record("session.id", session_digest(session.id()));
        }
        session
    }

    /// The span within which every line of the log about the session is written.
    pub(super) fn span(&self) -> &Span {
        static NONE: Span = Span::none();
        self.span.as_deref().unwrap_or(&NONE)
    }

    /// The session's name.
    pub fn id(&self) -> &SessionId {
        self.id.get_or_init(random_session)
    }

    /// The form in which it is sent each thing that happens.
    pub fn dialect(&self) -> Dialect {
        self.carrier.dialect
    }

    /// The key of the messages that are not delivered to it.
    pub(super) fn muted(&self) -> Option<SenderKey> {
        match self.echo {
            Echo::Off => self.sender.clone(),
            Echo::On => None,
        }
    }

    /// The public name of its client: the same across its reconnects and on all nodes.
    pub(super) fn member_id(&self) -> String {
        member_id(self.sender.as_ref())
    }

    /// Where its bytes go.
    pub fn outbox(&self) -> &Rc<Outbox> {
        &self.outbox
    }

    /// The services that all sessions share.
    pub fn services(&self) -> &Arc<Services> {
        &self.worker.services
    }

    /// The sessions of its worker.
    pub(super) fn siblings(&self) -> &SessionIndex {
        &self.worker.sessions
    }

    /// A poll ends early, which has no frames to be told in.
    pub(super) fn note_refusal(&self, refusal: Refusal) {
        *self.refusal.borrow_mut() = Some(Box::new(refusal));
    }

    /// Why a poll has ended early, if it has.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal.borrow().as_deref().cloned()
    }

    pub(super) fn shard(&self) -> &Rc<Shard> {
        &self.worker.shard
    }

    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// The share of its client's address.
    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// The publisher of its messages on a channel.
    pub(super) fn publisher(self: &Rc<Self>, channel: &ChannelName) -> Publisher {
        Publisher {
            principal: self.principal_on(channel),
            session: Some(Rc::clone(self)),
            quota: self.quota.clone(),
            sender: self.sender.clone(),
            share: self.share.clone(),
        }
    }

    /// Sends a frame, if the session has frames.
    pub fn reply(&self, reply: &Reply) {
        if let Some(wire) = self.carrier.dialect.frames() {
            self.outbox.push_frame(wire.encode(reply));
        }
    }

    /// Sends a frame with about so many bytes of messages, which it may take long to encode.
    pub(super) async fn reply_at_length(&self, bytes: usize, reply: Reply) {
        if let Some(wire) = self.carrier.dialect.frames() {
            let frame = offload(bytes, move || wire.encode(&reply)).await;
            self.outbox.push_frame(frame);
        }
    }

    /// Greets the client, with what it has to keep to.
    pub fn welcome(&self) {
        let config = &self.worker.services.config;
        let session = self.id().clone();
        // From now on somebody may know its name.
        self.worker.sessions.list_name(self);
        self.reply(&Reply::Welcome {
            session,
            heartbeat_ms: millis(config.heartbeat.interval),
            limits: widecast_protocol::reply::Limits {
                message_bytes: config.limits.message_bytes.get(),
                channels: config.limits.channels_per_session as u64,
            },
        });
    }

    /// The other end has given a sign of life.
    pub fn heard(&self) {
        self.liveness.heard();
    }

    /// Begins the heartbeat. `address` is woken when the session has to end.
    pub(super) fn begin(self: &Rc<Self>, address: Addr<SessionActor>) {
        *self.address.borrow_mut() = Some(address);
        self.watch_expiry();
        let config = &self.worker.services.config;
        let delay = if self.carrier.dialect.is_polled() {
            config.poll.session_idle
        } else {
            config.heartbeat.interval
        };
        self.worker.heartbeat.look_after(self, delay);
        if self.worker.services.is_draining() {
            // Everybody else may have been sent away already.
            self.send_away();
        }
    }

    /// Whether the session has an actor.
    pub(super) fn has_begun(&self) -> bool {
        self.address.borrow().is_some()
    }

    /// Stops the session's actor, if it has one.
    pub(super) fn stop_actor(&self) {
        if let Some(address) = self.address.borrow().as_ref() {
            #[expect(
                clippy::disallowed_methods,
                reason = "one message in the life of a session, which nobody repeats"
            )]
            address.do_send(super::actor::Stop);
        }
    }

    /// Sends a sign of life, if there is one in the session's form, and nothing waits: bytes on their way are a sign of life themselves, and the
    /// client may have asked for so many that there is no room for another. It comes behind the client's place, if the client has moved past
    /// messages of its own.
    pub(super) fn send_heartbeat(&self) {
        if self.outbox.queued_bytes() > 0 {
            return;
        }
        if let Some(bytes) = self.carrier.dialect.heartbeat() {
            self.outbox.tell_place();
            self.outbox.push_frame(bytes);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let ended = self.ended();
        if self.outbox.is_open() {
            // A task that waits for room would wait for ever. An outbox that writes its last words is left to do so.
            self.outbox.close(ended);
        }
        let services = &self.worker.services;
        let transport = self.carrier.transport.as_str();
        services.metrics.sessions.ended(transport, ended.as_str());
        self.span()
            .in_scope(|| tracing::debug!(session.ended = ended.as_str(), "the session has ended"));
        if let Some(id) = self.id.get() {
            services.sessions.remove(id);
        }
        let keys = std::mem::take(self.keys.get_mut());
        let name = self.id.take();
        self.worker.sessions.remove(self.connection, name, keys);
        for channel in self.listed.get_mut().drain() {
            // Nobody enters by this connection any more, so nobody has to wait for it to be gone.
            drop(self.worker.shard.exit(&channel, self.connection));
        }
    }
}

/// A duration as the wire has it.
pub fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
