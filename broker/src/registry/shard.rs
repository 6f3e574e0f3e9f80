//! The channel-registry actor of one worker thread.
//!
//! [`Shard`] is what the sessions of the thread share with the actor; [`ShardActor`] is the thin shell that takes one
//! message per publication from its mailbox, and runs the flush list.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use widecast_protocol::{ChannelName, EncodedMessage, Position};

use crate::engine::{ConnectionId, Engine, EngineError, NumberedChange, Portion, Replay};
use crate::metrics::Metrics;

use super::fanout::{Fanout, Next};
use super::flush::{Flush, FlushList};
use super::outbox::Outbox;
use super::pace::{Behind, Turn};
use super::routes::{MAILBOX_MESSAGES, Routes, ShardHandle};
use super::subscription::Subscriber;
use super::watch::PresenceWatch;

/// How long to wait before an engine that failed is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// How much of what a channel has missed is read at once.
const FILLING: Portion = Portion {
    messages: 1024,
    bytes: 4 << 20,
};

/// The subscriptions of one worker thread.
pub struct Shard {
    channels: RefCell<HashMap<ChannelName, Fanout>>,
    flush_list: Rc<FlushList>,
    handle: Arc<ShardHandle>,
    routes: Arc<Routes>,
    engine: Arc<dyn Engine>,
    metrics: Arc<Metrics>,
    patience: Duration,
}

impl Shard {
    /// Starts the shard of the current thread. A client for whom messages wait that do not fit into its outbox, and that takes
    /// nothing for as long as `patience`, loses its connection.
    ///
    /// # Panics
    /// Outside an actix system.
    pub fn start(
        routes: &Arc<Routes>,
        engine: &Arc<dyn Engine>,
        metrics: &Arc<Metrics>,
        patience: Duration,
    ) -> Rc<Self> {
        let mut started = None;
        ShardActor::create(|context| {
            context.set_mailbox_capacity(MAILBOX_MESSAGES);
            let shard = Rc::new(Self {
                channels: RefCell::default(),
                flush_list: FlushList::new(metrics.deliveries.clone()),
                handle: routes.register(context.address()),
                routes: Arc::clone(routes),
                engine: Arc::clone(engine),
                metrics: Arc::clone(metrics),
                patience,
            });
            started = Some(Rc::clone(&shard));
            ShardActor { shard }
        });
        started.expect("create calls its closure before it returns")
    }

    /// Where this thread's outboxes are written from.
    pub fn flush_list(&self) -> &Rc<FlushList> {
        &self.flush_list
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// A session ends because its client is too slow.
    pub(super) fn count_slow(&self) {
        self.metrics.deliveries.gave_up();
    }

    /// Where the history is to be read from for a subscription that is behind.
    pub(super) fn begin_reading(&self, behind: &Behind, outbox: &Rc<Outbox>) -> Option<Position> {
        let mut channels = self.channels.borrow_mut();
        channels
            .get_mut(&behind.channel)?
            .begin_reading(behind.key, outbox)
    }

    /// Sends a subscription what was read after `since`, as far as there is room.
    pub(super) fn send_past(
        &self,
        behind: &Behind,
        outbox: &Rc<Outbox>,
        since: Position,
        replay: &Replay,
    ) -> Turn {
        let mut channels = self.channels.borrow_mut();
        match channels.get_mut(&behind.channel) {
            Some(fanout) => fanout.send_past(behind, outbox, (since, replay), &self.metrics),
            None => Turn::Over,
        }
    }

    /// Makes a session a subscriber: from the answer on, messages are held for it until [`Membership::begin`].
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn join(
        self: &Rc<Self>,
        channel: &ChannelName,
        subscriber: Subscriber,
    ) -> Result<Membership, EngineError> {
        let key = {
            let mut channels = self.channels.borrow_mut();
            channels
                .entry(channel.clone())
                .or_default()
                .join(subscriber)
        };
        self.routes.add(channel, &self.handle);
        self.metrics.sessions.subscriptions.inc();
        let mut membership = Membership {
            shard: Rc::clone(self),
            channel: channel.clone(),
            key,
            subscribed: false,
        };
        self.engine.subscribed(channel).await?;
        membership.subscribed = true;
        Ok(membership)
    }

    fn leave(&self, membership: &Membership) {
        let channel = &membership.channel;
        let left = {
            let mut channels = self.channels.borrow_mut();
            let Some(fanout) = channels.get_mut(channel) else {
                return;
            };
            fanout.leave(membership.key);
            // Dropped after the borrow has ended.
            if fanout.is_empty() {
                channels.remove(channel)
            } else {
                None
            }
        };
        drop(left);
        self.routes.remove(channel, &self.handle);
        self.metrics.sessions.subscriptions.dec();
        if membership.subscribed {
            self.unsubscribe(channel.clone());
        }
    }

    /// A connection is no longer here as a member. It is done whether or not somebody waits for the answer, after which
    /// the same connection may enter again.
    pub fn exit(&self, channel: &ChannelName, connection: ConnectionId) -> oneshot::Receiver<()> {
        let engine = Arc::clone(&self.engine);
        let channel = channel.clone();
        let (done, answer) = oneshot::channel();
        finish(async move {
            if let Err(error) = engine.exit(&channel, connection).await {
                tracing::warn!(channel.name = %channel, %error, "engine was not told of a member that left");
            }
            // Nobody has to wait for it.
            let _ = done.send(());
        });
        answer
    }

    fn unsubscribe(&self, channel: ChannelName) {
        let engine = Arc::clone(&self.engine);
        let unsubscribe = async move {
            if let Err(error) = engine.unsubscribed(&channel).await {
                tracing::warn!(channel.name = %channel, %error, "engine was not told of an unsubscription");
            }
        };
        finish(unsubscribe);
    }

    fn arrived(self: &Rc<Self>, message: &Arc<EncodedMessage>) {
        self.handle.taken(message);
        self.look_for_overrun();
        self.flush_list.arrived();
        let channel = &message.message().channel;
        let next = match self.channels.borrow_mut().get_mut(channel) {
            Some(fanout) => fanout.arrived(message, &self.metrics),
            None => Next::Nothing,
        };
        self.go_on(channel, next);
    }

    fn doubt(self: &Rc<Self>, channel: &ChannelName) {
        let next = match self.channels.borrow_mut().get_mut(channel) {
            Some(fanout) => fanout.doubt(),
            None => Next::Nothing,
        };
        self.go_on(channel, next);
    }

    /// Looks whether something could not be handed over; nobody knows of which channel.
    fn look_for_overrun(self: &Rc<Self>) {
        if !self.handle.take_overrun() {
            return;
        }
        tracing::warn!("a shard was overrun; its channels are read again from the history");
        let channels: Vec<_> = self.channels.borrow().keys().cloned().collect();
        for channel in channels {
            self.doubt(&channel);
        }
    }

    fn go_on(self: &Rc<Self>, channel: &ChannelName, next: Next) {
        if let Next::Fill(since) = next {
            actix_rt::spawn(Rc::clone(self).fill(channel.clone(), since));
        }
        self.attend_to_those_behind();
    }

    fn attend_to_those_behind(self: &Rc<Self>) {
        for outbox in self.flush_list.take_behind() {
            self.attend(&outbox);
        }
    }

    /// Reads what a channel has missed from the history, until nothing is missing.
    async fn fill(self: Rc<Self>, channel: ChannelName, mut since: Position) {
        loop {
            let replay = match self.engine.replay(&channel, since, FILLING).await {
                Ok(replay) => replay,
                Err(error) => {
                    tracing::warn!(channel.name = %channel, %error, "the history cannot be read; trying again");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let next = match self.channels.borrow_mut().get_mut(&channel) {
                Some(fanout) => fanout.fill(&channel, &replay, &self.metrics),
                None => Next::Nothing,
            };
            self.attend_to_those_behind();
            match next {
                Next::Nothing => return,
                Next::Fill(position) => since = position,
            }
        }
    }
}

/// Runs what is almost always ready at once; the rest of it goes on in the background.
fn finish(future: impl Future<Output = ()> + Send + 'static) {
    let mut future = Box::pin(future);
    let mut context = TaskContext::from_waker(Waker::noop());
    if pin!(&mut future).poll(&mut context).is_pending() {
        // Without an arbiter the thread is ending, and with it the engine's connections.
        if let Some(arbiter) = actix_rt::Arbiter::try_current() {
            arbiter.spawn(future);
        }
    }
}

/// A session's part in a channel; dropping it leaves the channel.
pub struct Membership {
    shard: Rc<Shard>,
    channel: ChannelName,
    key: usize,
    subscribed: bool,
}

impl Membership {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// From now on this session hears who comes and goes, once it has begun to; or no longer.
    pub fn set_watch(&self, watch: Option<PresenceWatch>) {
        if let Some(fanout) = self.shard.channels.borrow_mut().get_mut(&self.channel) {
            fanout.set_watch(self.key, watch.map(Box::new));
        }
    }

    /// This session has been told who is here, after so many changes: it hears of those after them.
    pub fn begin_watch(&self, changes: u64) {
        if let Some(fanout) = self.shard.channels.borrow_mut().get_mut(&self.channel) {
            fanout.begin_watch(self.key, &self.channel, changes);
        }
    }

    /// Tells this session that messages up to `cursor` are lost.
    pub fn tell_gap(&self, cursor: Position) {
        let channels = self.shard.channels.borrow();
        if let Some(fanout) = channels.get(&self.channel) {
            fanout.tell_one(self.key, &self.channel, cursor, &self.shard.metrics);
        }
    }

    /// How far the session is, once it has begun, to tell its client.
    pub fn place(&self) -> Option<Position> {
        let mut channels = self.shard.channels.borrow_mut();
        channels.get_mut(&self.channel)?.place(self.key)
    }

    /// Begins to deliver what comes after `start`. With `nothing_past` that is what has come since the subscription was
    /// made, otherwise the history is read from there: what there is room for before this returns, the rest at the client's
    /// pace.
    pub async fn begin(&self, outbox: &Rc<Outbox>, start: Position, nothing_past: bool) {
        let behind = Behind {
            channel: self.channel.clone(),
            key: self.key,
        };
        if let Some(fanout) = self.shard.channels.borrow_mut().get_mut(&self.channel) {
            fanout.begin(&behind, start, nothing_past);
        }
        self.shard.catch_up(outbox).await;
        self.shard.attend_to_those_behind();
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.shard.leave(self);
    }
}

/// A message for the shard's subscribers.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Arrived(pub(super) Arc<EncodedMessage>);

/// Look whether something could not be handed over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Wake;

/// Messages of a channel were lost on the way to this node.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Lost(pub(super) ChannelName);

/// Somebody came or went.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PresenceChanged {
    pub(super) channel: ChannelName,
    pub(super) change: NumberedChange,
}

/// The shard's mailbox.
pub struct ShardActor {
    shard: Rc<Shard>,
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let flush = Flush(Rc::clone(&self.shard.flush_list));
        context.spawn(flush.into_actor(self));
    }
}

impl Handler<Arrived> for ShardActor {
    type Result = ();

    fn handle(&mut self, Arrived(message): Arrived, _: &mut Self::Context) {
        self.shard.arrived(&message);
    }
}

impl Handler<Wake> for ShardActor {
    type Result = ();

    fn handle(&mut self, Wake: Wake, _: &mut Self::Context) {
        self.shard.look_for_overrun();
    }
}

impl Handler<Lost> for ShardActor {
    type Result = ();

    fn handle(&mut self, Lost(channel): Lost, _: &mut Self::Context) {
        self.shard.look_for_overrun();
        self.shard.doubt(&channel);
    }
}

impl Handler<PresenceChanged> for ShardActor {
    type Result = ();

    fn handle(&mut self, changed: PresenceChanged, _: &mut Self::Context) {
        self.shard.look_for_overrun();
        let mut channels = self.shard.channels.borrow_mut();
        if let Some(fanout) = channels.get_mut(&changed.channel) {
            fanout.presence(&changed.channel, &changed.change);
        }
    }
}
